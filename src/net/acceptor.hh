// Accepts on sockets that listen already, on the shard itself: for forwarding, whose connections belong to one SSH
// connection and so to its shard. (Servers use listener.hh.)
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "base/unique_fd.hh"
#include "net/address.hh"
#include "net/shard.hh"

namespace mezite::net {

// All calls on the shard. Dropping it closes the sockets.
class Acceptor {
 public:
  // fd: non-blocking, close-on-exec, TCP_NODELAY and keep-alive where that applies. The handler may pause and destroy
  // the Acceptor.
  using Handler = std::function<void(UniqueFd fd, Address peer)>;

  // The sockets are non-blocking.
  static Result<std::unique_ptr<Acceptor>> open(Shard& shard, std::vector<UniqueFd> listening, Handler handler);
  ~Acceptor();
  Acceptor(const Acceptor&) = delete;
  Acceptor& operator=(const Acceptor&) = delete;

  // While paused, what connects waits in the kernel's queue.
  void pause();
  void resume();

 private:
  class Body;
  explicit Acceptor(std::shared_ptr<Body> body);
  std::shared_ptr<Body> body_;
};

}  // namespace mezite::net
