// Completion scripts, made from the program's own list of commands and flags.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.hh"

namespace mezite::msh {

struct CompletionCommand {
  std::string name;
  std::string description;
  std::vector<std::string> flags;
};

// shell: "bash", "zsh" or "fish".
Result<std::string> completion_script(std::string_view shell, const std::vector<CompletionCommand>& commands);

}  // namespace mezite::msh
