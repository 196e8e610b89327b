// mezd, the node agent.
#include <fmt/core.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <cstdio>
#include <cstdlib>
#include <string_view>

#include "agent/agent.hh"
#include "agent/forward/helper_process.hh"
#include "agent/process/spawn.hh"
#include "agent/settings/version.hh"
#include "base/log.hh"
#include "cmd/rpc_library.hh"
#include "crypto/exit_handler.hh"

namespace {

constexpr std::string_view kHelp = R"(mezd – the node agent of Mezite: the SSH server of this node

Usage:
  mezd [--config=PATH]
  mezd --check-config [--config=PATH]
  mezd --help | --version

Options:
  --config=PATH    the configuration; default /etc/mezite/mezd.yaml, if it is there
  --check-config   read the configuration, say what is wrong with it, and end

Environment (each goes over the file):
  MEZITE_AUTH_ADDR    HOST:PORT of the hub's gRPC API        (default localhost:3025)
  MEZITE_PROXY_ADDR   HOST:PORT of the hub's tunnel port     (default localhost:3024)
  MEZITE_DATA_DIR     identity and spool                     (default /var/lib/mezite)
  MEZITE_JOIN_TOKEN   for the first start: `mezctl tokens create --roles=node`
  MEZITE_CA_PIN       the Host CA's pin, as `mezctl ca status` prints it (the token has one too)
  MEZITE_NODE_NAME    the node's name                        (default: the host name)
  MEZITE_LABELS       env=prod,team=db
  MEZITE_WORKLOAD_API_SOCKET   where programs ask for their SPIFFE identity, as in /run/mezite/workload.sock (default: off)
  MEZITE_ENHANCED_RECORDING  off, auto, require, bpf or audit: programs and connections as the kernel sees them

Examples:
  MEZITE_AUTH_ADDR=hub.example:3025 MEZITE_PROXY_ADDR=hub.example:3024 \
    MEZITE_JOIN_TOKEN="$TOKEN" MEZITE_LABELS=env=prod mezd
  mezd --config=/etc/mezite/mezd.yaml

The agent only dials out. It logs JSON on stderr. SIGTERM ends its sessions and stops it, SIGHUP reads the labels again.
)";

// Keys are in this memory: no core file, no debugger of another process of the same user.
void harden_process() {
  ::prctl(PR_SET_DUMPABLE, 0);
  ::umask(077);
  mezite::agent::keep_limits_for_sessions();
  rlimit files{};
  if (::getrlimit(RLIMIT_NOFILE, &files) == 0) {
    files.rlim_cur = files.rlim_max;
    ::setrlimit(RLIMIT_NOFILE, &files);
  }
}

int complain(std::string_view text, int status) {
  fmt::print(stderr, "mezd: {}\n", text);
  return status;
}

}  // namespace

int main(int argc, char** argv) {
  mezite::agent::run_session_helper(argc, argv);
  mezite::agent::run_forward_helper(argc, argv);
  mezite::crypto::skip_openssl_exit_handler();
  std::string_view file;
  bool check = false;
  for (int i = 1; i < argc; ++i) {
    std::string_view argument = argv[i];
    if (argument == "--help" || argument == "-h") {
      fmt::print("{}", kHelp);
      return 0;
    }
    if (argument == "--version") {
      fmt::print("mezd {}\n", mezite::agent::version());
      return 0;
    }
    if (argument == "--check-config")
      check = true;
    else if (argument.starts_with("--config="))
      file = argument.substr(9);
    else if (argument == "--config" && i + 1 < argc)
      file = argv[++i];
    else
      return complain(fmt::format("unknown argument '{}'; see mezd --help", argument), 2);
  }
  harden_process();
  if (mezite::Status blocked = mezite::agent::block_agent_signals(); !blocked) {
    return complain(blocked.error().message, 1);
  }
  auto config = mezite::agent::load_config(file, mezite::agent::process_environment());
  if (!config) return complain(config.error().message, 1);
  if (check) {
    fmt::print("the configuration is good\n");
    return 0;
  }
  // Not for anybody whom a label's command or a session could tell it to.
  ::unsetenv("MEZITE_JOIN_TOKEN");
  const mezite::RpcLibrary rpc;
  if (mezite::Status ended = mezite::agent::run_agent(std::move(*config), file); !ended) {
    mezite::log::error(ended.error().message);
    return 1;
  }
  return 0;
}
