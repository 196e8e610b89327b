#include "cmd/msh/completion.hh"

#include "base/text.hh"

namespace mezite::msh {
namespace {

std::string names(const std::vector<CompletionCommand>& commands) {
  std::string out;
  for (const auto& command : commands) out += (out.empty() ? "" : " ") + command.name;
  return out;
}

// In single quotes, for any of the three shells.
std::string quoted(std::string_view text) {
  std::string out = "'";
  for (const char c : text) out += c == '\'' ? std::string("’") : std::string(1, c);
  return out + "'";
}

// bash and zsh (through bashcompinit) share this; node names come from the hub, one request a completion.
std::string bash(const std::vector<CompletionCommand>& commands) {
  std::string out =
      "_msh() {\n"
      "  local word=\"${COMP_WORDS[COMP_CWORD]}\"\n"
      "  if [ \"$COMP_CWORD\" -eq 1 ]; then\n"
      "    COMPREPLY=($(compgen -W \"" +
      names(commands) +
      " --help --version\" -- \"$word\"))\n"
      "    return\n"
      "  fi\n"
      "  local flags=\"--help\"\n"
      "  case \"${COMP_WORDS[1]}\" in\n";
  for (const auto& command : commands) {
    out += fmt::format("    {}) flags=\"{} --help\" ;;\n", command.name, join(command.flags, " "));
  }
  out +=
      "  esac\n"
      "  if [ \"${COMP_WORDS[1]}\" = scp ] && [ \"${word#-}\" = \"$word\" ]; then\n"
      "    # Nodes, with the colon that makes them remote; files of this machine come by themselves (-o default).\n"
      "    case \"$word\" in */*|.*|*:*) COMPREPLY=() ;;\n"
      "    *) compopt -o nospace 2>/dev/null\n"
      "      COMPREPLY=($(compgen -W \"$(msh ls 2>/dev/null | awk 'NR>1 {print $1 \":\"}')\" -- \"$word\")"
      " $(compgen -f -- \"$word\")) ;;\n"
      "    esac\n"
      "  elif [ \"${COMP_WORDS[1]}\" = ssh ] && [ \"${word#-}\" = \"$word\" ]; then\n"
      "    COMPREPLY=($(compgen -W \"$(msh ls 2>/dev/null | awk 'NR>1 {print $1}')\" -- \"$word\"))\n"
      "  else\n"
      "    COMPREPLY=($(compgen -W \"$flags\" -- \"$word\"))\n"
      "  fi\n"
      "}\n"
      "complete -o default -F _msh msh\n";
  return out;
}

std::string fish(const std::vector<CompletionCommand>& commands) {
  std::string out = "complete -c msh -f\n";
  for (const auto& command : commands) {
    out += fmt::format("complete -c msh -n __fish_use_subcommand -a {} -d {}\n", command.name,
                       quoted(command.description));
    for (const auto& flag : command.flags) {
      out += fmt::format("complete -c msh -n '__fish_seen_subcommand_from {}' -l {}\n", command.name, flag.substr(2));
    }
  }
  // In single quotes: in double ones fish would look for a variable $1 at once.
  const std::string nodes = R"fish('(msh ls 2>/dev/null | awk "NR>1 {print \$1}")')fish";
  const std::string nodes_colon = R"fish('(msh ls 2>/dev/null | awk "NR>1 {print \$1 \":\"}")')fish";
  out += "complete -c msh -n '__fish_seen_subcommand_from ssh' -a " + nodes + "\n";
  out += "complete -c msh -F -n '__fish_seen_subcommand_from scp' -a " + nodes_colon + "\n";
  return out;
}

}  // namespace

Result<std::string> completion_script(std::string_view shell, const std::vector<CompletionCommand>& commands) {
  if (shell == "bash") return bash(commands);
  if (shell == "zsh") return "autoload -U +X bashcompinit && bashcompinit\n" + bash(commands);
  if (shell == "fish") return fish(commands);
  return fail(ErrorCode::kInvalidArgument, "no completion for '{}'; there is bash, zsh and fish", printable(shell));
}

}  // namespace mezite::msh
