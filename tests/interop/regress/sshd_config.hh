// The part of sshd_config(5) that OpenSSH's regress suite writes and that means something to our server.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "base/result.hh"

namespace mezite::interop {

class SshdConfig {
 public:
  // Reads the file, then the "Keyword=value" lines of -o, which win. Match blocks count when they are for this user,
  // for 127.0.0.1 or for all; a Match block for anything else is skipped.
  static Result<SshdConfig> load(const std::string& path, const std::vector<std::string>& options,
                                 const std::string& user);

  // The first value of a keyword (case does not matter); empty: not there. As in sshd the first one wins.
  std::string first(const std::string& keyword) const;
  std::vector<std::string> all(const std::string& keyword) const;
  // The names of ours that an algorithm list keeps: "a,b*", "+a", "-a", "^a" (sshd_config(5), Ciphers).
  std::vector<std::string> algorithms(const std::string& keyword, const std::vector<std::string>& ours) const;

 private:
  std::map<std::string, std::vector<std::string>> matched_, global_;
};

bool glob_match(std::string_view pattern, std::string_view text);
// "name" against "a,b*,!c".
bool list_match(std::string_view patterns, std::string_view text);
// "48k", "16m", "1g" in bytes; a number followed by anything else is itself.
std::uint64_t number_with_unit(std::string_view text);

}  // namespace mezite::interop
