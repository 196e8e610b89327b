// The command line of mezhub.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hh"

namespace mezite::hub {

struct Flags {
  enum class Action { kRun, kHelp, kVersion, kCheckConfig, kConfigReference };
  Action action = Action::kRun;
  std::optional<std::filesystem::path> config_file;
};

// Errors name the flag and, for those that other programs have, the key that does the same.
Result<Flags> parse_flags(const std::vector<std::string_view>& arguments);

std::string_view help_text();

}  // namespace mezite::hub
