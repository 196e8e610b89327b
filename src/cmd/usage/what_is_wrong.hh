// What the programs say of a command line that they can't follow.
#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

#include "base/text.hh"

namespace mezite {

// One sentence, without the hint at --help. `command` is the innermost one that was named.
inline std::string what_is_wrong(const CLI::ParseError& error, CLI::App& command) {
  if (command.get_require_subcommand_min() == 0 || dynamic_cast<const CLI::RequiredError*>(&error) == nullptr) {
    return printable(error.what());
  }
  std::vector<std::string> names;
  for (const CLI::App* sub : command.get_subcommands({})) names.push_back(sub->get_name());
  const std::string list = join(names, ", ");
  const CLI::App* program = &command;
  while (program->get_parent() != nullptr) program = program->get_parent();
  for (const std::string& unknown : program->remaining(true)) {
    if (unknown.starts_with("-")) return "there is no option '" + printable(unknown) + "'";
    return "'" + printable(unknown) + "' is none of these commands: " + list;
  }
  return "one of these commands is missing: " + list;
}

}  // namespace mezite
