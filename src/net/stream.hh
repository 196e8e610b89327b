// A connected byte stream on a shard: TCP or Unix socket, optionally inside TLS. Output is buffered with marks.
#pragma once

#include <chrono>
#include <memory>

#include "base/bytes.hh"
#include "base/unique_fd.hh"
#include "net/address.hh"
#include "net/shard.hh"

namespace mezite::crypto {
class TlsEngine;
}

namespace mezite::net {

// What happens on a stream. Each call may close or destroy the stream.
class StreamHandler {
 public:
  virtual ~StreamHandler() = default;
  // TLS only: the handshake is done. Before any on_data().
  virtual void on_secured() {}
  // The bytes are valid during the call. All of them are consumed; pause_reading() holds back what comes next.
  virtual void on_data(BytesView bytes) = 0;
  // The peer sends no more (its half is closed); writing is still possible. The default closes.
  virtual void on_end() = 0;
  // Output that was above the high-water mark has fallen to the low one.
  virtual void on_writable() {}
  // The stream broke: reset, TLS failure, time-out. Not called after the own close().
  virtual void on_closed(const Error& why) = 0;
};

struct StreamOptions {
  std::size_t low_water = std::size_t{64} << 10;
  std::size_t high_water = std::size_t{256} << 10;
  std::chrono::milliseconds tls_handshake_timeout{10'000};
};

// Lives on one shard; all calls on that shard's thread. Handler and stream have the same owner as a rule; the handler
// must outlive the stream or be told by close().
class Stream {
 public:
  using Options = StreamOptions;

  // A connected, non-blocking socket.
  Stream(Shard& shard, UniqueFd fd, Address peer, Options options = {});
  // The same inside TLS; the engine carries its role. Data flows after the handshake.
  Stream(Shard& shard, UniqueFd fd, Address peer, std::unique_ptr<crypto::TlsEngine> tls, Options options = {});
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;
  ~Stream();  // as close(), unless close_after_flush() is under way

  // Starts reading. already_read was taken from the socket before (first_bytes.hh) and comes first.
  void start(StreamHandler& handler, Bytes already_read = {});

  // Takes all of it; asks to be written at the end of this turn. Callers stop producing at above_high_water() until
  // on_writable(). Ignored after close() or shutdown_write().
  void write(BytesView bytes);
  bool above_high_water() const;
  std::size_t buffered() const;

  void pause_reading();
  void resume_reading();

  // After what is buffered has been written: no more output (TCP FIN; with TLS close_notify first).
  void shutdown_write();
  // Closes after what is buffered has been written and the peer has closed too, or when the time is over; what the peer
  // still sends is dropped (so that its last answer is not lost to a reset). The handler hears no more, and the Stream
  // may be destroyed.
  void close_after_flush(std::chrono::milliseconds limit = std::chrono::seconds(5));
  // Now; output that is buffered is lost. The handler hears no more.
  void close();
  bool is_open() const;  // neither closed nor broken

  const Address& peer() const;
  Shard& shard() const;
  // Null for a plain stream.
  crypto::TlsEngine* tls() const;

 private:
  class Body;
  std::shared_ptr<Body> body_;
};

}  // namespace mezite::net
