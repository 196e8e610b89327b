// One port on which gRPC is spoken inside TLS and in clear: what a connection speaks is told by its first bytes.
#pragma once

#include <grpcpp/server_builder.h>

#include <cstdint>
#include <memory>

#include "net/listener.hh"

namespace mezite::auth::rpc {

class MixedPort {
 public:
  // Before builder.BuildAndStart(): the server takes connections of either kind from here.
  MixedPort(grpc::ServerBuilder& builder, const std::shared_ptr<grpc::ServerCredentials>& tls);
  // On the shard given to listen(), or after that has stopped; before the server goes.
  ~MixedPort();

  // After the server has started.
  Status listen(net::Shard& shard, net::ShardPool& shards, const net::HostPort& address);
  std::uint16_t port() const { return listener_->port(); }

 private:
  struct Door;  // shared with connections that have not said yet what they speak
  std::shared_ptr<Door> door_;
  std::unique_ptr<net::Listener> listener_;
};

}  // namespace mezite::auth::rpc
