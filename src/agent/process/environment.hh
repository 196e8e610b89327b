// The environment of a session: made from nothing, never inherited from mezd.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "agent/process/login_user.hh"
#include "net/address.hh"

namespace mezite::agent {

struct SessionFacts {
  std::string session_id;
  net::Address client;
  net::Address server;
  std::string term;               // empty without a PTY
  std::string tty_path;           // "/dev/pts/4"; empty without a PTY
  std::string agent_socket = {};  // of a forwarded agent, for SSH_AUTH_SOCK; empty: none
  std::string display = {};       // "localhost:10.0", for DISPLAY; empty: none
};

// Is it one of the variables that a client may set (LANG, LC_*, TERM, COLORTERM), with a value that is short text?
bool is_accepted_variable(std::string_view name, std::string_view value);

struct Variable {
  std::string name;
  std::string value;
};

// "NAME=value" strings for execve. sent: what the client set and is_accepted_variable() let through.
std::vector<std::string> session_environment(const LoginUser& user, const SessionFacts& facts,
                                             const std::vector<Variable>& sent);

// PATH for root and for others, from ENV_SUPATH and ENV_PATH of /etc/login.defs when they are there.
std::string default_path(uid_t uid, const char* login_defs = "/etc/login.defs");

}  // namespace mezite::agent
