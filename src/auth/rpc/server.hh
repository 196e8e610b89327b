// The gRPC API: the TLS listener for mezctl and agents, and the local admin socket.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>

#include "auth/services.hh"
#include "net/shard.hh"

namespace mezite::auth::rpc {

class Server {
 public:
  // Binds auth.listen_addr and $data_dir/admin.sock and serves. The local socket is accepted on `shard` (to be called
  // before that runs or on its thread). Services and shards outlive the server. Errors name the key and the port, or
  // the socket's path.
  static Result<std::unique_ptr<Server>> start(Services& services, net::Shard& shard, net::ShardPool& shards);
  ~Server();

  std::uint16_t port() const;  // that was bound, for ":0"

  // No new calls; those under way get until the deadline, then are cancelled. Returns when none is left. Twice is fine.
  // On the thread of the shard given to start(), or after that has stopped.
  void stop(std::chrono::milliseconds grace);

 private:
  struct State;
  explicit Server(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

// Whom the local socket serves: root and the hub's own user.
bool is_admin_uid(std::uint32_t uid, std::uint32_t own_uid);

// Sends gRPC's own log to ours and forbids TLS 1.2; once, before the first gRPC object of the process.
void prepare_process();

}  // namespace mezite::auth::rpc
