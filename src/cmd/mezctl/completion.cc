#include <fmt/format.h>

#include "base/text.hh"
#include "cmd/mezctl/commands.hh"

namespace mezite::mezctl {
namespace {

// Calls visit(path, node) for a command and all below it; path is "users create".
template <class Visit>
void walk(const CommandTree& node, const std::string& path, const Visit& visit) {
  visit(path, node);
  for (const CommandTree& child : node.children)
    walk(child, path.empty() ? child.name : path + " " + child.name, visit);
}

std::string words_of(const CommandTree& node, const CommandTree& root) {
  std::vector<std::string> words;
  for (const CommandTree& child : node.children) words.push_back(child.name);
  words.insert(words.end(), node.options.begin(), node.options.end());
  if (&node != &root) words.insert(words.end(), root.options.begin(), root.options.end());
  return join(words, " ");
}

std::string bash_script(const CommandTree& root) {
  std::string cases;
  walk(root, "", [&](const std::string& path, const CommandTree& node) {
    cases += fmt::format("    '{}') words='{}' ;;\n", path, words_of(node, root));
  });
  return fmt::format(R"(# bash completion of mezctl: source <(mezctl completion bash)
_mezctl() {{
  local current="${{COMP_WORDS[COMP_CWORD]}}" path='' words='' word
  for word in "${{COMP_WORDS[@]:1:COMP_CWORD-1}}"; do
    [[ $word == -* ]] && continue
    path="${{path:+$path }}$word"
  done
  case "$path" in
{}    *) COMPREPLY=($(compgen -f -- "$current")); return ;;
  esac
  COMPREPLY=($(compgen -W "$words" -- "$current"))
}}
complete -o default -F _mezctl mezctl
)",
                     cases);
}

std::string zsh_script(const CommandTree& root) {
  return "#compdef mezctl\n# zsh completion of mezctl: source <(mezctl completion zsh)\n"
         "autoload -U +X bashcompinit && bashcompinit\n" +
         bash_script(root).substr(bash_script(root).find('\n') + 1);
}

std::string fish_script(const CommandTree& root) {
  std::string lines = "# fish completion of mezctl: mezctl completion fish | source\ncomplete -c mezctl -f\n";
  walk(root, "", [&](const std::string& path, const CommandTree& node) {
    std::string condition = "__fish_use_subcommand";
    if (!path.empty()) {
      condition.clear();
      for (const std::string_view word : split(path, ' ')) {
        condition += fmt::format("{}__fish_seen_subcommand_from {}", condition.empty() ? "" : "; and ", word);
      }
    }
    for (const CommandTree& child : node.children) {
      lines += fmt::format("complete -c mezctl -n '{}' -a {}\n", condition, child.name);
    }
    for (const std::string& option : node.options) {
      if (!option.starts_with("--")) continue;
      const std::string scope = path.empty() ? "" : fmt::format(" -n '{}'", condition);
      lines += fmt::format("complete -c mezctl{} -l {}\n", scope, option.substr(2));
    }
  });
  return lines;
}

}  // namespace

std::string completion_script(std::string_view shell, const CommandTree& root) {
  if (shell == "zsh") return zsh_script(root);
  if (shell == "fish") return fish_script(root);
  return bash_script(root);
}

}  // namespace mezite::mezctl
