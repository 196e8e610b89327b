// node_sshd PORT HOST_KEY USER_CA.pub LOGIN: the agent's SSH server, as mezd runs it, on a port of loopback, without
// hub and recording: to measure it alone against other SSH servers. Until SIGTERM.
#include <fmt/format.h>
#include <signal.h>

#include "agent/forward/helper_process.hh"
#include "agent/session/server.hh"
#include "base/file.hh"
#include "base/text.hh"
#include "net/listener.hh"
#include "ssh/keys/private_key.hh"

namespace mezite {
namespace {

class NoEvents final : public agent::EventSink {
  Status emit(std::vector<audit::Event>) override { return {}; }
};

Result<agent::Snapshot> snapshot(const std::string& ca_path, std::string_view login) {
  MEZ_TRY(const auto text, read_file(ca_path));
  MEZ_TRY(auto ca, ssh::PublicKey::from_text(to_text(text)));
  agent::Snapshot made;
  made.revision = 1;
  made.cluster_name = "bench";
  made.user_cas = {std::move(ca)};
  made.recording_mode = agent::RecordingMode::kOff;
  const std::vector<std::string> roles{fmt::format(
      R"({{"kind":"role","version":"v1","metadata":{{"name":"bench"}},"spec":{{"options":{{}},"allow":{{"node_labels":{{"*":"*"}},"logins":["{}"]}},"deny":{{}}}}}})",
      login)};
  MEZ_TRY(made.roles, access::RoleSet::parse(roles));
  return made;
}

Status serve(const std::vector<std::string>& arguments) {
  MEZ_TRY(const auto at, net::parse_host_port("127.0.0.1:" + arguments[0]));
  MEZ_TRY(const auto pem, read_file(arguments[1]));
  MEZ_TRY(auto host_key, ssh::PrivateKey::from_pem(to_text(pem)));
  agent::SnapshotStore snapshots;
  MEZ_TRY(auto first, snapshot(arguments[2], arguments[3]));
  snapshots.put(std::move(first));
  agent::NodeFactsStore node(
      {.node_id = "bench", .node_name = "bench", .hostname = "localhost", .labels = {{"env", "bench"}}});
  NoEvents events;
  net::WorkerPool workers(2);
  MEZ_CHECK(net::Shard::block_signals({SIGTERM, SIGINT}));
  net::Shard main_shard;
  net::ShardPool shards;

  agent::ServerOptions options;
  options.workers = &workers;
  options.snapshots = &snapshots;
  options.node = &node;
  options.events = &events;
  options.sftp_server = "/usr/lib/openssh/sftp-server";
  std::vector<ssh::HostKey> host_keys;
  host_keys.push_back({std::make_shared<ssh::PrivateKey>(std::move(host_key)), {}});
  agent::SshServer server(std::move(options), std::move(host_keys));
  MEZ_TRY(auto listener,
          net::Listener::open(main_shard, shards, at, [&](net::Shard& shard, UniqueFd fd, net::Address peer) {
            server.serve(shard, {std::move(fd), {}, std::move(peer)});
          }));
  MEZ_CHECK(main_shard.on_signals({SIGTERM, SIGINT}, [&](int) { main_shard.stop(); }));
  shards.start();
  main_shard.run();
  listener.reset();
  shards.stop();
  workers.stop();
  return {};
}

}  // namespace
}  // namespace mezite

int main(int argc, char** argv) {
  mezite::agent::run_forward_helper(argc, argv);
  if (argc != 5) {
    fmt::print(stderr, "usage: node_sshd PORT HOST_KEY USER_CA.pub LOGIN\n");
    return 2;
  }
  const mezite::Status ended = mezite::serve({argv + 1, argv + argc});
  if (!ended) fmt::print(stderr, "node_sshd: {}\n", ended.error().message);
  return ended ? 0 : 1;
}
