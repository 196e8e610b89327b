// One function for each command of msh. Each prints what it found to stdout, and gives the exit status; an error is
// printed by main().
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "base/result.hh"

namespace mezite::msh {

enum class Format { kText, kJson, kYaml };

struct LoginOptions {
  std::string proxy;
  std::string user;
  std::string password;  // wiped after use
  bool password_given = false;
  std::chrono::seconds ttl = std::chrono::hours(12);
  std::string out;
  std::string ca_pin;
  bool insecure = false;
  bool no_agent = false;
};
Result<int> login(LoginOptions options);

// proxy: which profile; empty: the one of the last login.
Result<int> status(const std::string& proxy, Format format);
Result<int> logout(const std::string& proxy, bool all);

struct ListOptions {
  std::string proxy;
  std::string search;
  std::vector<std::string> labels;  // "key=value"
  Format format = Format::kText;
};
Result<int> list_nodes(const ListOptions& options);

struct SshOptions {
  std::string proxy;
  std::string target;  // "[login@]node"
  std::string login;
  std::vector<std::string> command;
  std::vector<std::string> options;  // -o
  bool force_pty = false;
  bool no_pty = false;
  bool no_session = false;
  bool subsystem = false;                     // -s: command is a subsystem's name
  std::vector<std::string> local_forwards;    // -L
  std::vector<std::string> remote_forwards;   // -R
  std::vector<std::string> dynamic_forwards;  // -D
  std::string stdio_forward;                  // -W
  bool agent = false;                         // -A
  bool no_agent = false;                      // -a
  bool x11 = false;                           // -X
  bool trusted_x11 = false;                   // -Y
  bool no_x11 = false;                        // -x
  bool background = false;                    // -f
  bool no_input = false;                      // -n
};
Result<int> ssh(const SshOptions& options);

struct ScpOptions {
  std::string proxy;
  std::string login;
  std::vector<std::string> paths;  // the last one is the target
  bool recursive = false;
  bool preserve = false;
  bool quiet = false;
  bool resume = false;
};
// 0, or 1 when something could not be copied.
Result<int> scp(const ScpOptions& options);

// Joins standard input and output with the node's SSH server: for ProxyCommand. target: "[login@]node[:port]".
Result<int> proxy_ssh(const std::string& proxy, const std::string& target, const std::string& login);

struct RecordingListOptions {
  std::string proxy;
  std::string user, node, since, until;
  int limit = 0;
  Format format = Format::kText;
};
Result<int> list_recordings(const RecordingListOptions& options);

struct PlayOptions {
  std::string proxy;
  std::string session;  // its id, or a file's path
  double speed = 1;
  std::string skip_idle;  // longest pause; empty: as it was
  std::string at;         // "1m30s", "0:01:30"
  std::string identity;   // file
};
Result<int> play(const PlayOptions& options);

Result<int> print_config(const std::string& proxy);

}  // namespace mezite::msh
