// What msh keeps on disk between calls: for each hub a folder with the profile and the identity, one of them current.
//
//   ~/.msh/                      0700 (MSH_HOME names another place)
//     current                    the name of the current profile's folder
//     known_hosts                @cert-authority lines of all profiles, for stock ssh
//     <host>_<port>/profile.json  0600, as everything below
//     <host>_<port>/id, id.pub, id-cert.pub
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.hh"
#include "base/result.hh"
#include "ssh/keys/certificate.hh"
#include "ssh/keys/private_key.hh"

namespace mezite::client {

enum class TrustMode { kSystem, kPin, kInsecure };

struct Profile {
  std::string proxy;  // "hub.example:3080"
  TrustMode trust = TrustMode::kSystem;
  std::string ca_pin;  // "sha256:…" when trust is kPin
  std::string user;
  std::string cluster;
  std::string ssh_addr;       // "hub.example:3023"
  std::string session_token;  // bearer token of the web API
  SystemTime expires_at{};
  std::vector<std::string> roles;
  std::vector<std::string> logins;
  std::vector<std::string> host_cas;  // public key lines

  bool expired(SystemTime now) const { return now >= expires_at; }
};

std::string profile_to_json(const Profile& profile);
Result<Profile> profile_from_json(std::string_view json);

// "hub.example:3080" → "hub.example_3080"; whatever is not a letter, digit, dot or dash becomes '_', so that no name
// leads out of the folder.
std::string profile_name(std::string_view proxy);

// OpenSSH's three files.
struct IdentityFiles {
  std::filesystem::path key;          // PATH
  std::filesystem::path public_key;   // PATH.pub
  std::filesystem::path certificate;  // PATH-cert.pub

  explicit IdentityFiles(const std::filesystem::path& path)
      : key(path), public_key(path.string() + ".pub"), certificate(path.string() + "-cert.pub") {}
};
// The key 0600. Each file is whole or as it was; the certificate comes last.
Status write_identity(const IdentityFiles& files, const ssh::PrivateKey& key, const ssh::Certificate& certificate);

struct StoredIdentity {
  ssh::PrivateKey key;
  ssh::Certificate certificate;
};
Result<StoredIdentity> read_identity(const IdentityFiles& files);

// The folder with everything.
class Home {
 public:
  // MSH_HOME, or .msh in the user's home folder.
  static Result<Home> from_environment();
  explicit Home(std::filesystem::path folder) : folder_(std::move(folder)) {}

  const std::filesystem::path& folder() const { return folder_; }
  std::filesystem::path known_hosts() const { return folder_ / "known_hosts"; }
  IdentityFiles identity(const Profile& profile) const;

  // kNotFound says to run `msh login`.
  Result<Profile> current() const;
  Result<Profile> find(std::string_view proxy) const;
  Result<std::vector<Profile>> all() const;

  // Keeps it, makes it current, and writes known_hosts anew.
  Status save(const Profile& profile) const;
  // Forgets identity and session; what is known about the hub (its pin) stays. known_hosts is written anew.
  // The same profile with other contents; which one is current stays.
  Status update(const Profile& profile) const;
  Status forget(const Profile& profile) const;

 private:
  std::filesystem::path profile_folder(std::string_view proxy) const { return folder_ / profile_name(proxy); }
  Status write_known_hosts() const;
  std::filesystem::path folder_;
};

// The keys in the lines; one that cannot be read is an error.
Result<std::vector<ssh::PublicKey>> parse_key_lines(const std::vector<std::string>& lines);

}  // namespace mezite::client
