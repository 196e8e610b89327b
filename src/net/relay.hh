// Joins two sockets with splice(2): bytes stay in the kernel.
#pragma once

#include <chrono>
#include <functional>
#include <memory>

#include "base/bytes.hh"
#include "base/unique_fd.hh"
#include "net/shard.hh"

namespace mezite::net {

struct RelayOptions {
  int pipe_bytes = 512 << 10;                 // for each direction; the kernel's default when it refuses
  std::chrono::milliseconds idle_timeout{0};  // 0: none
  Bytes first_to_b;                           // read from a before, to be written to b first
  Bytes first_to_a;
};

struct RelayEnd {
  Status status;  // success: both sides ended; else the cause (reset, idle, stopped)
  std::uint64_t a_to_b_bytes = 0;
  std::uint64_t b_to_a_bytes = 0;
};

// A running relay. Each half closes by itself: the end of one side's input is passed on after all its bytes, and the
// other direction goes on. Memory is bounded by the two pipes. Lives on one shard, all calls there.
class Relay {
 public:
  // Both sockets non-blocking. `done` is called once, on the shard, never from within this call or stop(); dropping the
  // Relay before ends it without a call.
  static std::unique_ptr<Relay> start(Shard& shard, UniqueFd a, UniqueFd b, RelayOptions options,
                                      std::move_only_function<void(RelayEnd)> done);
  ~Relay();

  // Closes both sides; `done` gets the reason.
  void stop(Error why);
  std::uint64_t a_to_b_bytes() const;
  std::uint64_t b_to_a_bytes() const;

 private:
  class Body;
  explicit Relay(std::shared_ptr<Body> body);
  std::shared_ptr<Body> body_;
};

}  // namespace mezite::net
