// OpenSSH's known_hosts format (sshd(8), SSH_KNOWN_HOSTS FILE FORMAT).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hh"
#include "ssh/keys/certificate.hh"
#include "ssh/keys/public_key.hh"

namespace mezite::ssh {

// What the file says about one host and port.
struct TrustedHostKeys {
  std::vector<PublicKey> keys;
  std::vector<PublicKey> certificate_authorities;
  std::vector<PublicKey> revoked;  // keys and CAs that must never be accepted

  bool empty() const { return keys.empty() && certificate_authorities.empty(); }
};

class KnownHosts {
 public:
  // Lines that cannot be read are counted and passed over, as OpenSSH does; at most 1 MiB of lines matters.
  static KnownHosts parse(std::string_view text);

  // Host patterns: "name", "*.example", "!not.this", "[name]:2222", "|1|salt|hash". Names compare without case.
  TrustedHostKeys lookup(std::string_view host, std::uint16_t port) const;
  std::size_t bad_lines() const { return bad_lines_; }
  std::size_t size() const { return entries_.size(); }

 private:
  enum class Marker { kNone, kCertificateAuthority, kRevoked };
  struct Entry {
    Marker marker;
    std::vector<std::string> patterns;
    PublicKey key;
  };
  std::vector<Entry> entries_;
  std::size_t bad_lines_ = 0;
};

// "name" or "[name]:port" for a port other than 22.
std::string known_hosts_name(std::string_view host, std::uint16_t port);
// One line with its newline. patterns: as they go in the file, comma-separated ("*.example,[hub]:3023").
std::string known_hosts_line(std::string_view patterns, const PublicKey& key, std::string_view comment = {});
std::string known_hosts_ca_line(std::string_view patterns, const PublicKey& ca, std::string_view comment = {});

// Checks what a server presented against the file's word: a plain key that is listed, or a host certificate of a listed
// CA with the host as a principal. kUnauthenticated with a sentence otherwise.
Status check_host_credential(const PublicCredential& presented, const TrustedHostKeys& trusted, std::string_view host,
                             SystemTime now);

}  // namespace mezite::ssh
