// A certificate of the User CA for a signed-in user.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "auth/caller.hh"
#include "auth/services.hh"

namespace mezite::auth {

inline constexpr std::chrono::hours kDefaultUserCertificateTtl{12};
inline constexpr std::chrono::seconds kLeastUserCertificateTtl{1};

struct UserCertificateOrder {
  std::string_view public_key;                   // "ssh-ed25519 AAAA…"
  std::optional<std::chrono::milliseconds> ttl;  // asked for; what is given may be shorter
};

struct IssuedUserCertificate {
  std::string certificate;  // "ssh-ed25519-cert-v01@openssh.com AAAA…"
  SystemTime expires_at{};
  std::vector<std::string> logins;
  std::string source_address;  // that it is pinned to; empty: not pinned
};

// Life: the least of what is asked for (default 12 h), 24 h and the roles' max_session_ttl. Principals: every login
// that the roles could allow anywhere; a user with none gets no certificate but kPermissionDenied in words.
// user.cert.issued.
Result<IssuedUserCertificate> issue_user_certificate(Services& services, const Caller& caller,
                                                     const UserCertificateOrder& order);

// The rule by itself, for whoever shows it.
std::chrono::seconds user_certificate_ttl(std::optional<std::chrono::milliseconds> asked,
                                          std::chrono::milliseconds roles_limit);

}  // namespace mezite::auth
