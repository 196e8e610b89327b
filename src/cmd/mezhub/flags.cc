#include "cmd/mezhub/flags.hh"

#include "base/text.hh"

namespace mezite::hub {
namespace {

std::unexpected<Error> unknown(std::string_view argument) {
  std::string hint;
  std::string_view name = argument.substr(0, argument.find('='));
  if (name.find("log") != std::string_view::npos) {
    hint = "the log level is the key log.level or the variable MEZITE_LOG_LEVEL; ";
  } else if (name == "migrate") {
    hint = "the database is migrated at every start; ";
  }
  return fail(ErrorCode::kInvalidArgument, "unknown {} {}: {}see mezhub --help",
              argument.starts_with('-') ? "flag" : "argument", printable(name), hint);
}

}  // namespace

Result<Flags> parse_flags(const std::vector<std::string_view>& arguments) {
  Flags flags;
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    std::string_view argument = arguments[i];
    if (argument == "--help" || argument == "-h") {
      flags.action = Flags::Action::kHelp;
      return flags;
    }
    if (argument == "--version") {
      flags.action = Flags::Action::kVersion;
      return flags;
    }
    if (argument == "--check-config") {
      flags.action = Flags::Action::kCheckConfig;
    } else if (argument == "--config-reference") {
      flags.action = Flags::Action::kConfigReference;
    } else if (argument.starts_with("--config=") && argument.size() > 9) {
      flags.config_file = argument.substr(9);
    } else if (argument == "--config" || argument == "-c" || argument == "--config=") {
      if (argument == "--config=" || i + 1 == arguments.size()) {
        return fail(ErrorCode::kInvalidArgument,
                    "--config needs a file: --config=/etc/mezite/mezite.yaml; see mezhub --help");
      }
      flags.config_file = arguments[++i];
    } else {
      return unknown(argument);
    }
  }
  return flags;
}

std::string_view help_text() {
  return R"help(mezhub - the hub of a Mezite cluster: auth service and proxy

usage: mezhub [--config=FILE]

  --config=FILE       configuration, YAML (default /etc/mezite/mezite.yaml)
  --check-config      read and check the configuration, then exit
  --config-reference  print every key, its variable and its default (Markdown)
  --version           print the version
  --help              print this

Every key can be set by a variable, which wins over the file: log.level is
MEZITE_LOG_LEVEL. SIGTERM drains and stops; SIGHUP reloads log.level and
log.format.

examples:
  mezhub --config=mezite.yaml
  MEZITE_LOG_LEVEL=debug mezhub --config=mezite.yaml
  MEZITE_CA_KEY_PASSPHRASE="$(cat passphrase)" mezhub
  mezhub --check-config --config=mezite.yaml
)help";
}

}  // namespace mezite::hub
