// Who is at the other end of a connection, once they are in. Internal to session/.
#pragma once

#include <string>

#include "agent/process/login_user.hh"
#include "agent/session/admission.hh"
#include "net/address.hh"

namespace mezite::agent {

// Shared with the sessions and forwards, which may live a little longer than the connection. Never changed: when roles
// change, the connection gets another one, which what is opened from then on sees.
struct Visitor {
  Principal principal;
  LoginUser login_user;
  net::Address client;
  net::Address server;
  std::string client_software;
};

}  // namespace mezite::agent
