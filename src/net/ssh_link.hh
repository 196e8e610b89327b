// Drives an SSH protocol core (ssh::Endpoint, which does no I/O) on a socket or a stream.
#pragma once

#include <functional>
#include <memory>

#include "base/bytes.hh"
#include "base/unique_fd.hh"
#include "net/shard.hh"
#include "net/stream.hh"

namespace mezite::ssh {
class Endpoint;
}

namespace mezite::net {

struct SshLinkOptions {
  std::size_t read_bytes = std::size_t{128} << 10;  // offered to each read
  std::chrono::milliseconds close_limit{5'000};     // to write the last output when the endpoint wants to close
};

// The connection from here to its end; lives on one shard. Call endpoint() and what hangs on it (channels) only on that
// shard; output is written once at the end of each turn of the loop.
class SshLink {
 public:
  using Options = SshLinkOptions;
  // How it ended: success when the endpoint wanted to close or the peer ended cleanly, else the cause. Called once, at
  // the end of a turn (never from within a call into the link or the endpoint); it may destroy the link.
  using Ended = std::move_only_function<void(Status)>;

  // A connected, non-blocking socket; first_bytes were read from it before.
  SshLink(Shard& shard, UniqueFd fd, std::unique_ptr<ssh::Endpoint> endpoint, Bytes first_bytes, Ended ended,
          Options options = {});
  // Over a stream that was not started (for TLS around SSH).
  SshLink(std::unique_ptr<Stream> stream, std::unique_ptr<ssh::Endpoint> endpoint, Ended ended, Options options = {});
  SshLink(const SshLink&) = delete;
  SshLink& operator=(const SshLink&) = delete;
  ~SshLink();  // closes the socket at once; `ended` is not called

  ssh::Endpoint& endpoint();
  Shard& shard();

  // Writes what the endpoint has pending, then closes; `ended` is called with success. For a reason that the peer
  // should read, disconnect the endpoint first.
  void close();
  // Now, without writing more; `ended` is called with this error at the end of the turn.
  void abort(Error why);

  std::uint64_t bytes_in() const;
  std::uint64_t bytes_out() const;

 private:
  class Body;
  std::shared_ptr<Body> body_;
};

}  // namespace mezite::net
