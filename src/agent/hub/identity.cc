#include "agent/hub/identity.hh"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <system_error>

#include "base/file.hh"
#include "base/id.hh"

namespace mezite::agent {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr std::string_view kStartAnew = "delete MEZITE_DATA_DIR and join again with a fresh token";

Result<std::string> read_text(const fs::path& path) {
  MEZ_TRY(Bytes content, read_file(path, std::size_t{1} << 20));
  return to_text(content);
}

Result<std::string> text_of(const json& object, const char* key) {
  auto found = object.find(key);
  if (found == object.end() || !found->is_string()) return fail(ErrorCode::kCorrupt, "'{}' is missing", key);
  return found->get<std::string>();
}

Result<std::vector<std::string>> texts_of(const json& object, const char* key) {
  auto found = object.find(key);
  if (found == object.end() || !found->is_array()) return fail(ErrorCode::kCorrupt, "'{}' is missing", key);
  std::vector<std::string> texts;
  for (const json& item : *found) {
    if (!item.is_string()) return fail(ErrorCode::kCorrupt, "'{}' is no list of texts", key);
    texts.push_back(item.get<std::string>());
  }
  return texts;
}

Result<json> read_json(const fs::path& path) {
  MEZ_TRY(std::string text, read_text(path));
  json object = json::parse(text, nullptr, false);
  if (!object.is_object()) return fail(ErrorCode::kCorrupt, "{} is not JSON", path.string());
  return object;
}

std::string fingerprint_of(const crypto::X509Certificate& ca) {
  auto key = ca.public_key();
  if (!key) return {};
  auto ssh_key = ssh::PublicKey::from_crypto(*key);
  return ssh_key ? ssh_key->fingerprint() : std::string();
}

std::vector<std::string> fingerprints_of_keys(const std::vector<std::string>& lines) {
  std::vector<std::string> out;
  for (const std::string& line : lines) {
    if (auto key = ssh::PublicKey::from_text(line)) out.push_back(key->fingerprint());
  }
  return out;
}

std::vector<std::string> fingerprints_of_certificates(const std::vector<std::string>& pems) {
  std::vector<std::string> out;
  for (const std::string& pem : pems) {
    if (auto ca = crypto::X509Certificate::from_pem(pem)) out.push_back(fingerprint_of(*ca));
  }
  return out;
}

std::string dump(const json& object) { return object.dump(2, ' ', false, json::error_handler_t::replace) + "\n"; }

Result<AgentIdentity> read_identity(const fs::path& folder) {
  MEZ_TRY(json node, read_json(folder / "node.json"));
  MEZ_TRY(json trust, read_json(folder / "trust.json"));
  MEZ_TRY(std::string node_id, text_of(node, "node_id"));
  MEZ_TRY(std::string node_name, text_of(node, "node_name"));
  MEZ_TRY(std::string cluster_name, text_of(node, "cluster_name"));
  MEZ_TRY(std::string host_key_pem, read_text(folder / "ssh_host_ed25519_key"));
  MEZ_TRY(std::string tls_key_pem, read_text(folder / "x509.key"));
  MEZ_TRY(ssh::PrivateKey host_key, ssh::PrivateKey::from_pem(host_key_pem));
  MEZ_TRY(crypto::SigningKey tls_key, crypto::SigningKey::from_pem(tls_key_pem));
  wipe(host_key_pem);
  wipe(tls_key_pem);
  CertificateTexts texts;
  MEZ_TRY(texts.ssh_host_certificate, read_text(folder / "ssh_host_ed25519_key-cert.pub"));
  MEZ_TRY(texts.x509_pem, read_text(folder / "x509.pem"));
  MEZ_TRY(texts.trust.user_cas, texts_of(trust, "user_cas"));
  MEZ_TRY(texts.trust.host_cas, texts_of(trust, "host_cas"));
  MEZ_TRY(texts.trust.host_cas_pem, texts_of(trust, "host_cas_x509"));
  // Not there in a folder of an older version.
  if (trust.contains("spiffe_cas_x509")) {
    MEZ_TRY(texts.trust.spiffe_cas_pem, texts_of(trust, "spiffe_cas_x509"));
  }
  if (auto revision = trust.find("revision"); revision != trust.end() && revision->is_number_integer()) {
    texts.trust.revision = revision->get<std::int64_t>();
  }
  return make_identity(std::move(node_id), std::move(node_name), std::move(cluster_name),
                       {std::move(host_key), std::move(tls_key)}, texts);
}

}  // namespace

Result<AgentKeys> AgentKeys::generate() {
  MEZ_TRY(ssh::PrivateKey host_key, ssh::PrivateKey::generate(ssh::KeyType::kEd25519));
  MEZ_TRY(crypto::SigningKey tls_key, crypto::SigningKey::generate(crypto::KeyAlgorithm::kEcdsaP256));
  return AgentKeys{std::move(host_key), std::move(tls_key)};
}

ssh::HostKey AgentIdentity::ssh_host_key() const {
  return {.signer = std::make_shared<ssh::PrivateKey>(keys.host_key), .certificate = host_certificate.wire()};
}

CaReport AgentIdentity::ca_report() const {
  CaReport report{
      .revision = trust.revision, .user = {}, .host = {}, .spiffe = {}, .ssh_signer = {}, .x509_signer = {}};
  report.user = fingerprints_of_keys(trust.user_cas);
  report.host = fingerprints_of_keys(trust.host_cas);
  report.spiffe = fingerprints_of_certificates(trust.spiffe_cas_pem);
  std::string ssh_signer = host_certificate.signature_key().fingerprint();
  if (std::ranges::find(report.host, ssh_signer) != report.host.end()) report.ssh_signer = std::move(ssh_signer);
  auto leaf = crypto::X509Certificate::from_pem(x509_pem);
  for (const std::string& pem : trust.host_cas_pem) {
    auto ca = crypto::X509Certificate::from_pem(pem);
    if (leaf && ca && leaf->is_signed_by(*ca)) report.x509_signer = fingerprint_of(*ca);
  }
  return report;
}

bool AgentIdentity::is_of_signing_ca() const {
  CaReport report = ca_report();
  return !report.host.empty() && report.ssh_signer == report.host[0] && report.x509_signer == report.host[0];
}

Result<SystemTime> AgentIdentity::renew_at() const {
  MEZ_TRY(crypto::X509Certificate leaf, crypto::X509Certificate::from_pem(x509_pem));
  SystemTime x509 = leaf.not_before() + (leaf.not_after() - leaf.not_before()) / 3 * 2;
  constexpr std::uint64_t kFarSeconds = std::uint64_t{1} << 33;
  SystemTime from = from_unix_seconds(static_cast<std::int64_t>(std::min(host_certificate.valid_after(), kFarSeconds)));
  SystemTime to = from_unix_seconds(static_cast<std::int64_t>(std::min(host_certificate.valid_before(), kFarSeconds)));
  return std::min(x509, from + (to - from) / 3 * 2);
}

Result<AgentIdentity> make_identity(std::string node_id, std::string node_name, std::string cluster_name,
                                    AgentKeys keys, const CertificateTexts& texts) {
  MEZ_TRY(ssh::Certificate host_certificate, ssh::Certificate::from_text(texts.ssh_host_certificate));
  MEZ_TRY(crypto::X509Certificate leaf, crypto::X509Certificate::from_pem(texts.x509_pem));
  MEZ_TRY(crypto::VerifyingKey leaf_key, leaf.public_key());
  if (host_certificate.public_key() != keys.host_key.public_key() ||
      leaf_key.spki() != keys.tls_key.public_key().spki()) {
    return fail(ErrorCode::kCorrupt, "the certificates are not for this agent's keys");
  }
  if (texts.trust.host_cas.empty() || texts.trust.host_cas_pem.empty()) {
    return fail(ErrorCode::kCorrupt, "there is no key of the Host CA");
  }
  for (const std::vector<std::string>* list : {&texts.trust.user_cas, &texts.trust.host_cas}) {
    for (const std::string& line : *list) MEZ_CHECK(ssh::PublicKey::from_text(line));
  }
  for (const std::vector<std::string>* list : {&texts.trust.host_cas_pem, &texts.trust.spiffe_cas_pem}) {
    for (const std::string& pem : *list) MEZ_CHECK(crypto::X509Certificate::from_pem(pem));
  }
  return AgentIdentity{.node_id = std::move(node_id),
                       .node_name = std::move(node_name),
                       .cluster_name = std::move(cluster_name),
                       .keys = std::move(keys),
                       .host_certificate = std::move(host_certificate),
                       .x509_pem = texts.x509_pem,
                       .trust = texts.trust};
}

Result<std::optional<AgentIdentity>> IdentityFolder::load() const {
  std::error_code error;
  if (!fs::exists(folder_, error)) {
    if (error) return fail(ErrorCode::kIo, "{}: {}", folder_.string(), error.message());
    return std::optional<AgentIdentity>();
  }
  Result<AgentIdentity> identity = read_identity(folder_);
  if (!identity) {
    return fail(identity.error().code, "the agent's identity in {} can't be used: {}; {}", folder_.string(),
                identity.error().message, kStartAnew);
  }
  return std::optional<AgentIdentity>(std::move(*identity));
}

Status IdentityFolder::write_all_files(const fs::path& folder, const AgentIdentity& identity) const {
  MEZ_TRY(Secret host_key, identity.keys.host_key.to_openssh_pem(identity.node_name));
  MEZ_TRY(Secret tls_key, identity.keys.tls_key.to_pem());
  MEZ_CHECK(write_file(folder / "ssh_host_ed25519_key", host_key.view(), 0600));
  MEZ_CHECK(write_file(folder / "x509.key", tls_key.view(), 0600));
  json node = {
      {"node_id", identity.node_id}, {"node_name", identity.node_name}, {"cluster_name", identity.cluster_name}};
  MEZ_CHECK(write_file(folder / "node.json", as_bytes(dump(node)), 0644));
  return update(identity);
}

Status IdentityFolder::create(const AgentIdentity& identity) const {
  fs::path fresh = folder_;
  fresh += ".new-" + new_uuid().substr(0, 8);
  MEZ_CHECK(make_directories(fresh, 0700));
  Status written = IdentityFolder(fresh).write_all_files(fresh, identity);
  if (written && ::rename(fresh.c_str(), folder_.c_str()) != 0) written = fail_errno(errno, folder_.string());
  if (!written) {
    std::error_code ignored;
    fs::remove_all(fresh, ignored);
    return written;
  }
  return sync_directory(folder_.parent_path());
}

Status IdentityFolder::update(const AgentIdentity& identity) const {
  json trust = {{"user_cas", identity.trust.user_cas},
                {"host_cas", identity.trust.host_cas},
                {"host_cas_x509", identity.trust.host_cas_pem},
                {"spiffe_cas_x509", identity.trust.spiffe_cas_pem},
                {"revision", identity.trust.revision}};
  MEZ_CHECK(write_file(folder_ / "trust.json", as_bytes(dump(trust)), 0644));
  MEZ_CHECK(write_file(folder_ / "ssh_host_ed25519_key-cert.pub",
                       as_bytes(identity.host_certificate.to_text(identity.node_name) + "\n"), 0644));
  return write_file(folder_ / "x509.pem", as_bytes(identity.x509_pem), 0644);
}

}  // namespace mezite::agent
