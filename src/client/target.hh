// What the user of `msh ssh` asked for: the node, the login, the options of ssh(1) that scripts pass.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.hh"

namespace mezite::client {

struct Target {
  std::string login;  // empty: not said
  std::string node;
};

// "[login@]node"; the last '@' divides, so that "alice@corp@web-01" is the login "alice@corp". Nothing that a shell or
// ssh would take for an option, and no white space or control characters.
Result<Target> parse_target(std::string_view text);

// Which login to use: the one asked for; else the local user's name if the certificate has it; else the certificate's
// only one. The error lists what there is.
Result<std::string> choose_login(std::string_view asked, const std::vector<std::string>& allowed,
                                 std::string_view local_user);

// "Key=value" or "Key value" of ssh_config(5). Options that concern what msh does by itself (host keys, identities,
// proxies) are taken and have no effect; names that ssh does not know are kInvalidArgument.
struct SshOption {
  std::string key;  // as ssh_config(5) writes it: "SetEnv"
  std::string value;
};
Result<SshOption> parse_ssh_option(std::string_view text);

// `msh ssh` takes options before and after the node, and nothing of what is behind them, as ssh does.
struct SshArguments {
  std::vector<std::string> options;
  std::string target;                // empty: not given
  std::vector<std::string> command;  // word by word
};
// args: what comes after "ssh".
SshArguments split_ssh_arguments(const std::vector<std::string>& args);

}  // namespace mezite::client
