// What the arguments of `msh scp` mean.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.hh"
#include "client/target.hh"

namespace mezite::client {

struct CopyEnd {
  bool remote = false;
  Target target;     // of a remote end
  std::string path;  // as written; empty for a remote end: the login's home
};

// "[LOGIN@]NODE:PATH" is remote, all else local. As with scp, a colon behind a slash is part of a local name: "./a:b".
Result<CopyEnd> parse_copy_end(std::string_view text);

// Flags and paths apart; what is behind "--" is a path whatever it looks like.
struct ScpArguments {
  std::vector<std::string> options;
  std::vector<std::string> paths;
};
// args: what comes after "scp".
ScpArguments split_scp_arguments(const std::vector<std::string>& args);

// The last part of a path, without slashes at its end; empty for "/", "." and "..", which name no entry of a folder.
std::string last_part(std::string_view path);
std::string join_path(std::string_view folder, std::string_view name);

// Has characters that a pattern has: * ? [
bool is_pattern(std::string_view path);

}  // namespace mezite::client
