// One-time links with which a user sets a password: invites and resets.
#pragma once

#include <chrono>
#include <string>
#include <string_view>

#include "identity/passwords.hh"

namespace mezite::identity {

inline constexpr std::chrono::hours kInviteTtl{24};

enum class InvitePurpose { kInvite, kReset };

struct Invite {
  std::string secret;  // goes into the link; stored as SHA-256 only
  std::string user;
  InvitePurpose purpose = InvitePurpose::kInvite;
  SystemTime expires_at{};
};

class Invites {
 public:
  Invites(store::Database& database, const Clock& clock, Passwords& passwords)
      : database_(database), clock_(clock), passwords_(passwords) {}

  // Makes the user's earlier links void.
  Result<Invite> create(std::string_view user, InvitePurpose purpose);
  // Whose it is, without using it up. kNotFound: "this link was used, has expired or never was: ask for a new one".
  Result<Invite> look(std::string_view secret) const;
  // Sets the password and uses the link up, together. Gives the user's name.
  Result<std::string> redeem(std::string_view secret, std::string_view new_password);

 private:
  store::Database& database_;
  const Clock& clock_;
  Passwords& passwords_;
};

}  // namespace mezite::identity
