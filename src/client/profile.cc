#include "client/profile.hh"

#include <pwd.h>
#include <stdlib.h>
#include <unistd.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/file.hh"
#include "base/text.hh"
#include "ssh/keys/known_hosts.hh"

namespace mezite::client {
namespace {

std::string_view trust_name(TrustMode mode) {
  switch (mode) {
    case TrustMode::kSystem: return "system";
    case TrustMode::kPin: return "pin";
    case TrustMode::kInsecure: return "insecure";
  }
  return "system";
}

std::string get_text(const nlohmann::json& json, const char* key) {
  const auto it = json.find(key);
  return it != json.end() && it->is_string() ? it->get<std::string>() : std::string();
}

std::vector<std::string> get_list(const nlohmann::json& json, const char* key) {
  std::vector<std::string> out;
  const auto it = json.find(key);
  if (it == json.end() || !it->is_array()) return out;
  for (const auto& item : *it) {
    if (item.is_string()) out.push_back(item.get<std::string>());
  }
  return out;
}

}  // namespace

std::string profile_to_json(const Profile& profile) {
  const nlohmann::json json = {
      {"proxy", profile.proxy},         {"trust", trust_name(profile.trust)},
      {"ca_pin", profile.ca_pin},       {"user", profile.user},
      {"cluster", profile.cluster},     {"ssh_addr", profile.ssh_addr},
      {"token", profile.session_token}, {"expires_at", to_rfc3339(profile.expires_at)},
      {"roles", profile.roles},         {"logins", profile.logins},
      {"host_cas", profile.host_cas},
  };
  return json.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

Result<Profile> profile_from_json(std::string_view text) {
  const auto json = nlohmann::json::parse(text, nullptr, false);
  if (!json.is_object()) return fail(ErrorCode::kCorrupt, "the profile is damaged; run `msh login` again");
  Profile profile;
  profile.proxy = get_text(json, "proxy");
  const std::string trust = get_text(json, "trust");
  profile.trust = trust == "pin" ? TrustMode::kPin : trust == "insecure" ? TrustMode::kInsecure : TrustMode::kSystem;
  profile.ca_pin = get_text(json, "ca_pin");
  profile.user = get_text(json, "user");
  profile.cluster = get_text(json, "cluster");
  profile.ssh_addr = get_text(json, "ssh_addr");
  profile.session_token = get_text(json, "token");
  profile.expires_at = parse_rfc3339(get_text(json, "expires_at")).value_or(SystemTime());
  profile.roles = get_list(json, "roles");
  profile.logins = get_list(json, "logins");
  profile.host_cas = get_list(json, "host_cas");
  if (profile.proxy.empty()) return fail(ErrorCode::kCorrupt, "the profile is damaged; run `msh login` again");
  return profile;
}

std::string profile_name(std::string_view proxy) {
  std::string name;
  for (const char c : proxy.substr(0, 200)) {
    const bool safe =
        (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '.';
    name.push_back(safe ? c : '_');
  }
  // "", ".", ".." and hidden names.
  if (name.empty() || name[0] == '.') name.insert(name.begin(), '_');
  return name;
}

Status write_identity(const IdentityFiles& files, const ssh::PrivateKey& key, const ssh::Certificate& certificate) {
  const std::string& comment = certificate.key_id();
  MEZ_TRY(const Secret pem, key.to_openssh_pem(comment));
  MEZ_CHECK(write_file(files.key, pem.view(), 0600));
  MEZ_CHECK(write_file(files.public_key, as_bytes(key.public_key().to_text(comment) + "\n"), 0600));
  return write_file(files.certificate, as_bytes(certificate.to_text(comment) + "\n"), 0600);
}

Result<StoredIdentity> read_identity(const IdentityFiles& files) {
  MEZ_TRY(Bytes pem, read_file(files.key, 65536));
  const Secret wiped{BytesView(pem)};
  ::explicit_bzero(pem.data(), pem.size());
  MEZ_TRY(auto key, ssh::PrivateKey::from_pem(wiped.text()));
  MEZ_TRY(const Bytes line, read_file(files.certificate, 200'000));
  MEZ_TRY(auto certificate, ssh::Certificate::from_text(as_text(line)));
  if (!(certificate.public_key() == key.public_key())) {
    return fail(ErrorCode::kCorrupt, "{} does not belong to {}; run `msh login` again", files.certificate.string(),
                files.key.string());
  }
  return StoredIdentity{std::move(key), std::move(certificate)};
}

Result<Home> Home::from_environment() {
  if (const char* folder = ::getenv("MSH_HOME"); folder != nullptr && *folder != '\0') return Home(folder);
  if (const char* home = ::getenv("HOME"); home != nullptr && *home == '/')
    return Home(std::filesystem::path(home) / ".msh");
  const passwd* user = ::getpwuid(::getuid());
  if (user == nullptr || user->pw_dir == nullptr) {
    return fail(ErrorCode::kNotFound, "there is no home folder to keep keys in; set MSH_HOME to a folder");
  }
  return Home(std::filesystem::path(user->pw_dir) / ".msh");
}

IdentityFiles Home::identity(const Profile& profile) const {
  return IdentityFiles(profile_folder(profile.proxy) / "id");
}

Result<Profile> Home::current() const {
  const auto name = read_file(folder_ / "current", 4096);
  if (!name) return fail(ErrorCode::kNotFound, "not logged in; run `msh login --proxy=HOST:3080`");
  const auto text = read_file(folder_ / profile_name(trim(as_text(*name))) / "profile.json");
  if (!text) return fail(ErrorCode::kNotFound, "not logged in; run `msh login --proxy=HOST:3080`");
  return profile_from_json(as_text(*text));
}

Result<Profile> Home::find(std::string_view proxy) const {
  MEZ_TRY(const Bytes text, read_file(profile_folder(proxy) / "profile.json"));
  return profile_from_json(as_text(text));
}

Result<std::vector<Profile>> Home::all() const {
  std::vector<Profile> profiles;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(folder_, error)) {
    const auto text = read_file(entry.path() / "profile.json");
    if (!text) continue;
    if (auto profile = profile_from_json(as_text(*text))) profiles.push_back(std::move(*profile));
  }
  std::ranges::sort(profiles, {}, &Profile::proxy);
  return profiles;
}

Status Home::save(const Profile& profile) const {
  MEZ_CHECK(make_directories(profile_folder(profile.proxy), 0700));
  MEZ_CHECK(write_file(folder_ / "current", as_bytes(profile_name(profile.proxy) + "\n"), 0600));
  return update(profile);
}

Status Home::update(const Profile& profile) const {
  MEZ_CHECK(write_file(profile_folder(profile.proxy) / "profile.json", as_bytes(profile_to_json(profile)), 0600));
  return write_known_hosts();
}

Status Home::forget(const Profile& profile) const {
  const IdentityFiles files = identity(profile);
  for (const auto& path : {files.certificate, files.key, files.public_key}) {
    std::error_code error;
    std::filesystem::remove(path, error);
    if (error) return fail(ErrorCode::kIo, "removing {}: {}", path.string(), error.message());
  }
  Profile rest;
  rest.proxy = profile.proxy;
  rest.trust = profile.trust;
  rest.ca_pin = profile.ca_pin;
  rest.cluster = profile.cluster;
  MEZ_CHECK(write_file(profile_folder(profile.proxy) / "profile.json", as_bytes(profile_to_json(rest)), 0600));
  return write_known_hosts();
}

Status Home::write_known_hosts() const {
  MEZ_TRY(const auto profiles, all());
  std::string text;
  for (const auto& profile : profiles) {
    const auto keys = parse_key_lines(profile.host_cas);
    if (!keys) continue;
    // "*": stock ssh looks up the name that was typed, "web-01", before it knows of the cluster.
    for (const auto& key : *keys) text += ssh::known_hosts_ca_line("*", key, printable(profile.cluster));
  }
  return write_file(known_hosts(), as_bytes(text), 0600);
}

Result<std::vector<ssh::PublicKey>> parse_key_lines(const std::vector<std::string>& lines) {
  std::vector<ssh::PublicKey> keys;
  for (const auto& line : lines) {
    std::string_view text = trim(line);
    if (text.starts_with("@cert-authority")) {
      // A line of known_hosts will do as well: the key is behind the marker and the patterns.
      for (int word = 0; word < 2; ++word) text = trim(text.substr(std::min(text.find_first_of(" \t"), text.size())));
    }
    MEZ_TRY(auto key, ssh::PublicKey::from_text(text));
    keys.push_back(std::move(key));
  }
  return keys;
}

}  // namespace mezite::client
