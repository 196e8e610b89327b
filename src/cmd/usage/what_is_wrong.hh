// What the programs say of a command line that they can't follow.
#pragma once

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <string>
#include <vector>

#include "base/text.hh"

namespace mezite {

inline std::string in_capitals(std::string text) {
  std::ranges::transform(text, text.begin(),
                         [](char c) { return c >= 'a' && c <= 'z' ? static_cast<char>(c - 32) : c; });
  return text;
}

// The first example of the command's help, up to what is said of it; without one, the command and what it must have.
inline std::string example_of(const CLI::App& command) {
  constexpr std::string_view kExamples = "Examples:\n";
  const std::string footer = command.get_footer();
  if (footer.starts_with(kExamples)) {
    const std::string line = footer.substr(kExamples.size(), footer.find('\n', kExamples.size()) - kExamples.size());
    const std::string example(trim(line));
    return example.substr(0, std::min(example.find(';'), example.find("  ")));
  }
  std::string example = command.get_name();
  for (const CLI::App* above = command.get_parent(); above != nullptr; above = above->get_parent()) {
    example = above->get_name() + " " + example;
  }
  for (const CLI::Option* option : command.get_options()) {
    if (!option->get_required()) continue;
    example += option->get_positional() ? " " + in_capitals(option->get_name(true)) : " " + option->get_name() + "=…";
  }
  return example;
}

// What the command must have and has not; empty: nothing.
inline std::string what_is_missing(const CLI::App& command) {
  for (const CLI::Option* option : command.get_options()) {
    if (!option->get_required() || option->count() > 0) continue;
    return fmt::format("{} is missing: {}; for example: {}",
                       option->get_positional() ? in_capitals(option->get_name(true)) : option->get_name(),
                       option->get_description(), example_of(command));
  }
  return {};
}

// One sentence, without the hint at --help. `command` is the innermost one that was named.
inline std::string what_is_wrong(const CLI::ParseError& error, CLI::App& command) {
  const bool required = dynamic_cast<const CLI::RequiredError*>(&error) != nullptr;
  const bool needs_command = command.get_require_subcommand_min() > 0;
  if (required && !needs_command) {
    const std::string missing = what_is_missing(command);
    return missing.empty() ? printable(error.what()) : missing;
  }
  if (!required && dynamic_cast<const CLI::ExtrasError*>(&error) == nullptr) return printable(error.what());
  std::vector<std::string> names;
  for (const CLI::App* sub : command.get_subcommands({})) names.push_back(sub->get_name());
  const std::string list = join(names, ", ");
  const CLI::App* program = &command;
  while (program->get_parent() != nullptr) program = program->get_parent();
  for (const std::string& unknown : program->remaining(true)) {
    if (unknown.starts_with("-")) return "there is no option '" + printable(unknown) + "'";
    if (needs_command) return "'" + printable(unknown) + "' is none of these commands: " + list;
    return "'" + printable(unknown) + "' is one argument too many; for example: " + example_of(command);
  }
  return needs_command ? "one of these commands is missing: " + list : printable(error.what());
}

}  // namespace mezite
