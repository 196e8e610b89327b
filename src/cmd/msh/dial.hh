// From a node's name to a stream to its SSH server.
#pragma once

#include <string>

#include "base/result.hh"
#include "client/target.hh"
#include "cmd/msh/session.hh"
#include "net/connect.hh"
#include "ssh/keys/identity.hh"

namespace mezite::msh {

struct Dialled {
  Session session;
  client::Target target;  // with the login that was chosen
  net::Connected connected;
};

// proxy: which profile; empty: the one of the last login. login: where the target names none.
Result<Dialled> dial(const std::string& proxy, client::Target target, const std::string& login);
// target: "[login@]node".
Result<Dialled> dial(const std::string& proxy, const std::string& target, const std::string& login);

// The key and the certificate of the last login.
Result<ssh::Identity> identity_of(const Session& session);

// Asks on the terminal what the node wants to know.
std::string answer_prompt(const std::string& prompt, bool echo);

}  // namespace mezite::msh
