#include <fmt/core.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>

#include "auth/config.hh"
#include "auth/version.hh"
#include "base/log.hh"
#include "cmd/mezhub/flags.hh"
#include "cmd/mezhub/hub.hh"
#include "cmd/rpc_library.hh"
#include "crypto/exit_handler.hh"
#include "crypto/secure_memory.hh"

namespace {

using mezite::hub::Flags;

// Keys are in this memory: no core file, no debugger of another process of the same user, and no swap.
mezite::Status harden_process() {
#ifndef MEZITE_SANITIZED  // the leak checker attaches to its own process
  ::prctl(PR_SET_DUMPABLE, 0);
  const rlimit no_core{0, 0};
  ::setrlimit(RLIMIT_CORE, &no_core);
#endif
  ::umask(077);
  rlimit files{};
  if (::getrlimit(RLIMIT_NOFILE, &files) == 0) {
    files.rlim_cur = files.rlim_max;
    ::setrlimit(RLIMIT_NOFILE, &files);
  }
  return mezite::crypto::reserve_secure_memory();
}

void warn_about_variables() {
  std::vector<std::string> names;
  for (char** entry = environ; entry != nullptr && *entry != nullptr; ++entry) {
    std::string_view text = *entry;
    names.emplace_back(text.substr(0, text.find('=')));
  }
  for (const std::string& name : mezite::auth::unknown_variables(names)) {
    mezite::log::warn("a variable that looks like ours means nothing; see docs/configuration.md", {{"variable", name}});
  }
}

int complain(std::string_view text, int status) {
  fmt::print(stderr, "mezhub: {}\n", text);
  return status;
}

}  // namespace

int main(int argc, char** argv) {
  mezite::crypto::skip_openssl_exit_handler();
  const mezite::Status hardened = harden_process();
  auto flags = mezite::hub::parse_flags({argv + 1, argv + argc});
  if (!flags) return complain(flags.error().message, 2);
  switch (flags->action) {
    case Flags::Action::kHelp: fmt::print("{}", mezite::hub::help_text()); return 0;
    case Flags::Action::kVersion: fmt::print("mezhub {}\n", mezite::auth::version()); return 0;
    case Flags::Action::kConfigReference: fmt::print("{}", mezite::auth::config_reference()); return 0;
    case Flags::Action::kCheckConfig:
    case Flags::Action::kRun: break;
  }
  auto config = mezite::auth::load_config(flags->config_file, mezite::auth::process_environment());
  if (!config) return complain(config.error().message, 1);
  if (flags->action == Flags::Action::kCheckConfig) {
    fmt::print("the configuration is good\n");
    return 0;
  }
  mezite::log::set_level(config->log.level);
  mezite::log::set_format(config->log.format);
  if (!hardened) mezite::log::warn(hardened.error().message);
  warn_about_variables();
  if (mezite::Status blocked = mezite::hub::block_hub_signals(); !blocked) {
    return complain(blocked.error().message, 1);
  }
  const mezite::RpcLibrary rpc;
  if (mezite::Status ended = mezite::hub::run(std::move(*config), flags->config_file); !ended) {
    mezite::log::error(ended.error().message);
    return 1;
  }
  return 0;
}
