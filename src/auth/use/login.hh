// Passwords against sessions, and the links with which a password is set.
#pragma once

#include <string>
#include <string_view>

#include "auth/caller.hh"
#include "auth/services.hh"

namespace mezite::auth {

struct LoginAttempt {
  std::string_view user;
  std::string_view password;
  std::string_view client_ip;
  std::string_view via;  // "mezctl", "web": for the audit log
};

// user.login or user.login.failed (and user.locked_out) is stored before it returns. kUnauthenticated says the same
// sentence whatever was wrong; kResourceExhausted when too many passwords are being checked. Blocks for an Argon2id.
Result<identity::NewSession> login(Services& services, const LoginAttempt& attempt);

// Ends the session of this token; an unknown one is fine. user.logout.
Status logout(Services& services, const Caller& caller, std::string_view session_token);

// https://<public_addr>/invite/<secret>
std::string invite_url(const Services& services, std::string_view secret);

// Sets the password of an invite or reset link and uses the link up. Gives the user's name. user.password_changed.
Result<std::string> redeem_invite(Services& services, std::string_view secret, std::string_view new_password,
                                  std::string_view client_ip);

}  // namespace mezite::auth
