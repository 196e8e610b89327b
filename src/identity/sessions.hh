// Bearer sessions of mezctl, msh and the web: a random token, stored as its SHA-256.
#pragma once

#include <chrono>
#include <string>
#include <string_view>
#include <vector>

#include "identity/users.hh"

namespace mezite::identity {

inline constexpr std::chrono::hours kSessionTtl{12};

struct NewSession {
  std::string token;  // shown once
  SystemTime expires_at{};
};

// Who a token speaks for, as of now: roles and traits are the user's current ones.
struct Caller {
  User user;
  std::string session_id;
  SystemTime logged_in_at{};
  SystemTime expires_at{};
};

class Sessions {
 public:
  Sessions(store::Database& database, const Clock& clock) : database_(database), clock_(clock) {}

  Result<NewSession> create(std::string_view user, std::string_view client_ip,
                            std::chrono::milliseconds ttl = kSessionTtl);
  // kUnauthenticated for an unknown or expired token, and for a user who is gone or locked by an access lock.
  Result<Caller> who(std::string_view token) const;
  Status revoke(std::string_view token);  // of an unknown token: nothing to do
  Result<std::int64_t> revoke_all(std::string_view user);
  // Drops those that are over; called now and then.
  Result<std::int64_t> sweep();

 private:
  store::Database& database_;
  const Clock& clock_;
};

}  // namespace mezite::identity
