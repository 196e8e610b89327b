#include "pki/authority.hh"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>

#include "base/ascii.hh"
#include "base/text.hh"
#include "pki/authority_rows.hh"
#include "pki/certificate_json.hh"
#include "pki/key_ring.hh"
#include "ssh/keys/certificate_check.hh"
#include "store/settings.hh"

namespace mezite::pki {

namespace {

constexpr std::chrono::hours kExpiryWarning{24 * 90};
// A node whose clock is behind by minutes still believes the hub, and can tell its users that the clock is wrong.
constexpr std::chrono::hours kHostBackdating{1};
// OpenSSH takes only CIDR lists for source-address; an IPv4 address that came over an IPv6 socket is an IPv4 address.
Result<std::string> source_address_list(std::string_view text) {
  std::vector<std::string> entries;
  for (std::string_view entry : split(text, ',')) {
    entry = trim(entry);
    if (entry.starts_with("::ffff:") && entry.find('.') != std::string_view::npos) entry.remove_prefix(7);
    std::string cidr(entry);
    if (cidr.find('/') == std::string::npos) cidr += cidr.find(':') == std::string::npos ? "/32" : "/128";
    if (!ssh::match_source_address(cidr, "127.0.0.1")) {
      return fail(ErrorCode::kInvalidArgument, "'{}' is no address that a certificate can be pinned to",
                  printable(entry.substr(0, 64)));
    }
    entries.push_back(std::move(cidr));
  }
  return join(entries, ",");
}

}  // namespace

std::string_view to_text(AuthorityType type) {
  switch (type) {
    case AuthorityType::kUser: return "user";
    case AuthorityType::kHost: return "host";
    case AuthorityType::kSpiffe: break;
  }
  return "spiffe";
}

Result<AuthorityType> parse_authority_type(std::string_view text) {
  for (AuthorityType type : kAuthorityTypes) {
    if (to_text(type) == text) return type;
  }
  return fail(ErrorCode::kInvalidArgument, "'{}' is no certificate authority: take user, host or spiffe",
              printable(text.substr(0, 64)));
}

Result<ExportFormat> parse_export_format(std::string_view text) {
  if (text == "openssh") return ExportFormat::kOpenSsh;
  if (text == "x509") return ExportFormat::kX509;
  if (text == "spiffe-bundle") return ExportFormat::kSpiffeBundle;
  return fail(ErrorCode::kInvalidArgument, "'{}' is no export format: take openssh, x509 or spiffe-bundle",
              printable(text.substr(0, 64)));
}

Authority::Authority(std::unique_ptr<State> state) : state_(std::move(state)) {}
Authority::~Authority() = default;

Result<std::unique_ptr<Authority>> Authority::open(store::Database& database, const SecretBox& box, KeyStore& keys,
                                                   std::string cluster_name, const Clock& clock) {
  auto state = std::make_unique<State>();
  state->cluster_name = std::move(cluster_name);
  state->clock = &clock;
  std::int64_t count = 0;
  {
    MEZ_TRY(auto reader, database.snapshot());
    MEZ_TRY(count, reader.query_integer("SELECT count(*) FROM certificate_authorities"));
  }
  if (count == 0) {
    std::vector<AuthorityRow> made;
    for (AuthorityType type : kAuthorityTypes) {
      MEZ_TRY(AuthorityRow row, mint_authority(keys, type, state->cluster_name, clock.now()));
      made.push_back(std::move(row));
    }
    MEZ_TRY(auto transaction, database.begin());
    MEZ_TRY(std::int64_t revision, store::bump_revision(transaction));
    for (const AuthorityRow& row : made) {
      MEZ_CHECK(insert_authority(transaction, box, row));
      MEZ_CHECK(put_rotation(transaction, {.type = row.type, .rotation = {}, .revision = revision, .note = {}}));
    }
    MEZ_CHECK(transaction.commit());
    state->created_now = true;
  }
  MEZ_TRY(KeyRing ring, load_ring(database, box, keys));
  state->put(std::make_shared<const KeyRing>(std::move(ring)));
  return std::unique_ptr<Authority>(new Authority(std::move(state)));
}

const std::string& Authority::cluster_name() const { return state_->cluster_name; }
bool Authority::created_now() const { return state_->created_now; }

Result<ssh::Certificate> Authority::sign_user_certificate(const UserCertificateRequest& request) const {
  if (request.ttl <= std::chrono::seconds(0) || request.ttl > kMaxUserTtl) {
    return fail(ErrorCode::kInvalidArgument, "a certificate is good for 1 second to {} hours, not {} seconds",
                kMaxUserTtl.count(), request.ttl.count());
  }
  if (request.user.empty()) return fail(ErrorCode::kInvalidArgument, "a certificate needs a user");
  if (request.logins.empty()) {
    return fail(ErrorCode::kPermissionDenied,
                "the roles of {} allow no login: ask an administrator for a role with logins", printable(request.user));
  }
  SystemTime now = state_->clock->now();
  ssh::CertificateRequest certificate{.public_key = request.public_key,
                                      .type = ssh::CertificateType::kUser,
                                      .key_id = request.user,
                                      .principals = request.logins,
                                      .valid_after = now - kBackdating,
                                      .valid_before = now + request.ttl,
                                      .critical_options = {},
                                      .extensions = {}};
  if (!request.source_address.empty()) {
    MEZ_TRY(std::string list, source_address_list(request.source_address));
    certificate.critical_options.emplace_back("source-address", ssh::option_value(list));
  }
  auto permit = [&](Permit permitted, std::string_view name) {
    if (permitted == Permit::kYes) certificate.extensions.emplace_back(name, Bytes());
  };
  permit(request.pty, "permit-pty");
  permit(request.port_forwarding, "permit-port-forwarding");
  permit(request.agent_forwarding, "permit-agent-forwarding");
  permit(request.x11_forwarding, "permit-X11-forwarding");
  auto extension = [&](std::string_view name, std::string_view text) {
    certificate.extensions.emplace_back(name, ssh::option_value(text));
  };
  extension(kRolesExtension, to_json(request.roles));
  extension(kTraitsExtension, to_json(request.traits));
  if (request.login_time) extension(kLoginTimeExtension, to_rfc3339(*request.login_time));
  return ssh::sign_certificate(std::move(certificate), state_->ring()->of(AuthorityType::kUser).active->key);
}

Result<ssh::Certificate> Authority::issue_host_certificate(const HostCertificateRequest& request) const {
  SystemTime now = state_->clock->now();
  ssh::CertificateRequest certificate{.public_key = request.public_key,
                                      .type = ssh::CertificateType::kHost,
                                      .key_id = request.node_id,
                                      .principals = {},
                                      .valid_after = now - kHostBackdating,
                                      .valid_before = now + request.ttl,
                                      .critical_options = {},
                                      .extensions = {}};
  // OpenSSH makes the name that it looks for lower-case, and compares it exactly.
  auto add = [&](std::string_view name) {
    std::string principal = lower(name);
    if (std::ranges::find(certificate.principals, principal) == certificate.principals.end()) {
      certificate.principals.push_back(std::move(principal));
    }
  };
  add(request.node_id);
  for (const std::string& name : request.names) add(name);
  return ssh::sign_certificate(std::move(certificate), state_->ring()->of(AuthorityType::kHost).active->key);
}

Result<crypto::X509Certificate> Authority::issue_agent_x509(const AgentX509Request& request) const {
  auto ring = state_->ring();
  const LoadedKey& ca = *ring->of(AuthorityType::kHost).active;
  SystemTime now = state_->clock->now();
  crypto::X509LeafSpec spec{
      .common_name = request.node_id,
      .organization = state_->cluster_name,
      .dns_names = {request.node_id, lower(request.node_name)},
      .ip_addresses = {},
      .uris = {fmt::format("spiffe://{}/agent/{}", state_->cluster_name, request.node_id)},
      .not_before = now - kBackdating,
      .not_after = now + request.ttl,
      .usage = crypto::X509Usage::kClient,  // a node can never stand for the hub
  };
  return crypto::issue_x509_leaf(*ca.x509, ca.key.raw(), request.public_key_spki, spec);
}

Result<crypto::X509Certificate> Authority::issue_server_x509(const ServerX509Request& request) const {
  auto ring = state_->ring();
  const LoadedKey& ca = *ring->of(AuthorityType::kHost).active;
  SystemTime now = state_->clock->now();
  crypto::X509LeafSpec spec{
      .common_name = state_->cluster_name,
      .organization = "Mezite hub",
      .dns_names = request.dns_names,
      .ip_addresses = request.ip_addresses,
      .uris = {},
      .not_before = now - kHostBackdating,
      .not_after = now + request.ttl,
      .usage = crypto::X509Usage::kServer,
  };
  return crypto::issue_x509_leaf(*ca.x509, ca.key.raw(), request.public_key_spki, spec);
}

Result<AgentIdentity> Authority::verify_agent_x509(const crypto::X509Certificate& certificate) const {
  auto roots = trust_bundle().host_x509;
  if (auto good = crypto::verify_x509_chain(std::span(&certificate, 1), roots, state_->clock->now(),
                                            crypto::X509Usage::kClient);
      !good) {
    return fail(ErrorCode::kUnauthenticated, "agent certificate: {}", good.error().message);
  }
  auto uris = certificate.uris();
  std::string prefix = fmt::format("spiffe://{}/agent/", state_->cluster_name);
  if (uris.size() != 1 || !uris[0].starts_with(prefix) || uris[0].size() == prefix.size()) {
    return fail(ErrorCode::kUnauthenticated, "the certificate is not of an agent of cluster {}", state_->cluster_name);
  }
  return AgentIdentity{.node_id = uris[0].substr(prefix.size())};
}

TrustBundle Authority::trust_bundle() const {
  auto ring = state_->ring();
  TrustBundle bundle;
  bundle.revision = ring->revision;
  for (AuthorityType type : kAuthorityTypes) {
    const LoadedAuthority& loaded = ring->of(type);
    for (const auto* key : {&loaded.active, &loaded.standby}) {
      if (!*key) continue;
      if (type == AuthorityType::kUser) bundle.user_cas.push_back((*key)->key.public_key());
      if (type == AuthorityType::kHost) bundle.host_cas.push_back((*key)->key.public_key());
      if (type == AuthorityType::kHost) bundle.host_x509.push_back(*(*key)->x509);
      if (type == AuthorityType::kSpiffe) bundle.spiffe_x509.push_back(*(*key)->x509);
      if (type == AuthorityType::kSpiffe) bundle.spiffe_jwt.push_back(*(*key)->jwt_key);
    }
  }
  return bundle;
}

std::vector<AuthorityStatus> Authority::status() const {
  auto ring = state_->ring();
  std::vector<AuthorityStatus> out;
  for (AuthorityType type : kAuthorityTypes) {
    const LoadedAuthority& loaded = ring->of(type);
    out.push_back({.type = type,
                   .rotation = loaded.rotation,
                   .keys = {.revision = ring->revision,
                            .active = loaded.active->fingerprint(),
                            .standby = loaded.standby ? loaded.standby->fingerprint() : ""},
                   .expires_at = loaded.active->expires_at,
                   .pin = type == AuthorityType::kHost ? "sha256:" + loaded.active->x509->spki_sha256_hex() : "",
                   .active_kms = loaded.active->kms,
                   .standby_kms = loaded.standby ? loaded.standby->kms : KmsName()});
  }
  return out;
}

std::vector<std::string> Authority::warnings() const {
  std::vector<std::string> out;
  SystemTime now = state_->clock->now();
  for (const AuthorityStatus& ca : status()) {
    auto left = ca.expires_at - now;
    if (left > kExpiryWarning) continue;
    std::string_view type = to_text(ca.type);
    if (left <= left.zero()) {
      out.push_back(fmt::format("the {0} CA has expired: mezctl ca rotate --type={0}", type));
    } else {
      out.push_back(fmt::format("the {0} CA expires in {1} days: mezctl ca rotate --type={0}", type,
                                std::chrono::duration_cast<std::chrono::days>(left).count()));
    }
  }
  return out;
}

Result<std::string> Authority::export_public(AuthorityType type, ExportFormat format) const {
  auto ring = state_->ring();
  const LoadedAuthority& ca = ring->of(type);
  // While it is rotated, both keys: what is made of this works now and when it is done.
  std::vector<const LoadedKey*> both{&*ca.active};
  if (ca.standby) both.push_back(&*ca.standby);
  std::string text;
  if (format == ExportFormat::kX509) {
    if (!ca.active->x509) {
      return fail(ErrorCode::kInvalidArgument, "the {} CA signs SSH certificates only: take --format=openssh",
                  to_text(type));
    }
    for (const LoadedKey* key : both) text += key->x509->to_pem();
    return text;
  }
  if (format == ExportFormat::kSpiffeBundle) {
    if (type == AuthorityType::kSpiffe) return spiffe::to_json(spiffe_bundle());
    return fail(ErrorCode::kInvalidArgument, "only the spiffe CA has such a bundle: take --type=spiffe");
  }
  if (type == AuthorityType::kSpiffe) {
    return fail(ErrorCode::kInvalidArgument, "the spiffe CA signs X.509 certificates only: take --format=x509");
  }
  for (const LoadedKey* key : both) {
    text += key->key.public_key().to_text(fmt::format("mezite-{}-ca@{}", to_text(type), state_->cluster_name)) + "\n";
  }
  return text;
}

crypto::X509Certificate Authority::host_ca_certificate() const {
  return *state_->ring()->of(AuthorityType::kHost).active->x509;
}

std::vector<crypto::X509Certificate> Authority::host_ca_chain() const {
  auto ring = state_->ring();
  const LoadedAuthority& host = ring->of(AuthorityType::kHost);
  std::vector<crypto::X509Certificate> chain;
  if (host.standby && host.cross) chain = {*host.cross, *host.standby->x509};
  chain.push_back(*host.active->x509);
  return chain;
}

std::string Authority::host_ca_pin() const { return host_ca_certificate().spki_sha256_hex(); }

std::vector<std::string> Authority::host_ca_pins() const {
  std::vector<std::string> pins;
  for (const crypto::X509Certificate& ca : trust_bundle().host_x509) pins.push_back(ca.spki_sha256_hex());
  return pins;
}

std::string Authority::host_ca_fingerprint() const {
  return state_->ring()->of(AuthorityType::kHost).active->fingerprint();
}

}  // namespace mezite::pki
