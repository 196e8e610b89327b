// The cookie of a forwarded X11 display, for the login user's programs.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "agent/process/login_user.hh"
#include "base/result.hh"

namespace mezite::agent {

// Protocol and cookie go into a script for xauth(1): letters, digits, '-' and '.'; the cookie hexadecimal. Anything
// else would be commands of the client's to a program that runs outside of its restrictions (OpenSSH CVE-2016-3115).
bool is_valid_x11_cookie(std::string_view protocol, std::string_view cookie);

struct XauthEntry {
  std::uint32_t display = 10;
  std::uint32_t screen = 0;
  std::string protocol;  // "MIT-MAGIC-COOKIE-1"
  std::string cookie;    // hexadecimal
};

// Runs xauth as the user, which puts the entry into the user's ~/.Xauthority. Blocks for as long as it takes, 15
// seconds at most. kFailedPrecondition: the node has no xauth.
Status add_xauth_entry(const LoginUser& user, const XauthEntry& entry);

// What DISPLAY is to be.
std::string display_name(std::uint32_t display, std::uint32_t screen);

}  // namespace mezite::agent
