// HTTP/1.1 over streams, with bounds on everything a peer can make us keep.
#pragma once

#include <chrono>
#include <functional>
#include <memory>

#include "base/unique_fd.hh"
#include "net/http/router.hh"
#include "net/shard.hh"

namespace mezite::crypto {
class TlsEngine;
}

namespace mezite::net::http {

struct ServerOptions {
  std::size_t header_limit_bytes = std::size_t{16} << 10;
  std::size_t body_limit_bytes = std::size_t{1} << 20;
  std::chrono::milliseconds header_timeout{10'000};  // from the first byte (or the accept) to the end of the header
  std::chrono::milliseconds body_timeout{30'000};
  std::chrono::milliseconds idle_timeout{60'000};   // between requests
  std::chrono::milliseconds write_timeout{60'000};  // an answer that the peer does not take
  std::size_t connection_limit = 4096;
  std::size_t requests_per_connection = 1000;
};

class Server {
 public:
  using Options = ServerOptions;
  // Makes the TLS engine of one connection; null (the function itself) serves cleartext. Called on any shard.
  using MakeTls = std::function<std::unique_ptr<crypto::TlsEngine>()>;

  // The server must outlive the connections: stop the shards before destroying it.
  Server(Router router, MakeTls make_tls, Options options = {});
  ~Server();

  // Serves one accepted connection, on its shard; fits Listener's AcceptHandler.
  void serve(Shard& shard, UniqueFd fd, Address peer);
  // Answers what is under way, with Connection: close from here on. Any thread.
  void drain();
  std::size_t connections() const;

  struct State;  // shared by the connections
 private:
  std::shared_ptr<State> state_;
};

}  // namespace mezite::net::http
