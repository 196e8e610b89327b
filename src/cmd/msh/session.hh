// What the commands share: the profile that is in force, ready to talk to its hub.
#pragma once

#include <string>

#include "base/result.hh"
#include "client/profile.hh"
#include "client/web_api.hh"

namespace mezite::msh {

struct Session {
  client::Home home;
  client::Profile profile;
  client::WebApi api;  // with the session's token
};

// kUnauthenticated when the session is over, with the command to run. Warns on stderr when the profile trusts any hub.
Result<Session> open_session(const std::string& proxy);

// The profile alone, expired or not.
Result<client::Profile> find_profile(const client::Home& home, const std::string& proxy);

// HOST[:3080].
Result<net::HostPort> parse_proxy(const std::string& text);

// Keeps what the hub's last answer says of its CAs, when that is news.
void keep_trust(Session& session);

std::string local_user();

void print(std::string_view text);  // stdout
void note(std::string_view text);   // stderr, with "msh: " in front and a line feed behind

}  // namespace mezite::msh
