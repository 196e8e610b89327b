// Joins an SSH channel with descriptors: a socket, a pipe, the master of a PTY.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>

#include "base/bytes.hh"
#include "base/lent_memory.hh"
#include "base/unique_fd.hh"
#include "net/relay.hh"
#include "net/shard.hh"
#include "ssh/connection/channel.hh"

namespace mezite::net {

// Descriptor to channel: reads as much at once as the channel has room for, and only then. All calls on the shard's
// thread; the descriptor is non-blocking.
class FdToChannel {
 public:
  struct Options {
    ssh::DataKind kind = ssh::DataKind::kStdout;
    Bytes first;                         // sent before what the descriptor gives
    std::function<void(BytesView)> tap;  // sees each run of bytes before it is sent (recording)
    // Where the next run, of at most so many bytes, is to be read to, when its tap has a place for it.
    std::function<LentMemory(std::size_t)> memory;
  };
  // `ended` is called once: success at the end of input (EOF, or EIO of a PTY whose last user has gone), else the
  // error. It may destroy this. It is not called from within start().
  FdToChannel(Shard& shard, UniqueFd fd, Options options, std::move_only_function<void(Status)> ended);
  ~FdToChannel();

  void start(ssh::Channel channel);
  void on_writable();  // pass on ChannelHandler::on_writable()
  void pause();        // reads nothing until resume(): a recording that must not lose a byte holds its session back
  void resume();
  std::uint64_t bytes() const;

 private:
  class Body;
  std::shared_ptr<Body> body_;
};

// Channel to descriptor: writes what a turn brought at its end, keeps what does not fit, and gives the window back as
// it is written, so the channel's window is what bounds the memory.
class ChannelToFd {
 public:
  // `broken` is called once, when writing fails (EPIPE, ECONNRESET …); the rest is dropped and its window given back.
  ChannelToFd(Shard& shard, UniqueFd fd, std::move_only_function<void(Status)> broken);
  ~ChannelToFd();

  void start(ssh::Channel channel);
  void write(BytesView data);  // pass on ChannelHandler::on_data()
  // After what is buffered: calls finished(fd) once, which shuts the descriptor's writing half or closes it (a null
  // function closes). Nothing is written afterwards.
  void finish(std::move_only_function<void(UniqueFd)> finished = {});
  // Bytes that were not part of the channel (a token, an end-of-file character): written in order, no window given
  // back.
  void write_own(BytesView data);
  std::uint64_t bytes() const;

 private:
  class Body;
  std::shared_ptr<Body> body_;
};

struct ChannelRelayOptions {
  Bytes first_to_channel;                     // was read from the socket before
  std::chrono::milliseconds idle_timeout{0};  // 0: none
};

// A whole channel joined with a connected socket, half-closing both ways. Give it to ChannelOpenResponder::accept() or
// open_channel(). The connection keeps it alive; so does whoever wants to stop() it.
class ChannelRelay final : public ssh::ChannelHandler, public std::enable_shared_from_this<ChannelRelay> {
 public:
  // In RelayEnd, a is the channel and b the socket. `done` is called once, at the end of a turn; also when the channel
  // never opened. Not when the endpoint was destroyed first: the socket is closed then with the relay.
  static std::shared_ptr<ChannelRelay> make(Shard& shard, UniqueFd socket, ChannelRelayOptions options,
                                            std::move_only_function<void(RelayEnd)> done);
  ~ChannelRelay() override;

  void stop(Error why);
  std::uint64_t bytes() const;  // both directions together

  void on_open(ssh::Channel channel) override;
  void on_open_failed(ssh::OpenFailure reason, std::string_view text) override;
  void on_data(BytesView data, ssh::DataKind kind) override;
  void on_eof() override;
  void on_writable() override;
  void on_closed() override;

 private:
  ChannelRelay(Shard& shard, ChannelRelayOptions options, std::move_only_function<void(RelayEnd)> done);
  void end(Status status);
  void half_done();
  void watch_idle();

  Shard& shard_;
  ChannelRelayOptions options_;
  std::move_only_function<void(RelayEnd)> done_;
  ssh::Channel channel_;
  std::optional<FdToChannel> up_;    // socket → channel
  std::optional<ChannelToFd> down_;  // channel → socket
  UniqueFd socket_;                  // what is left of it, to shut down
  bool up_ended_ = false;
  bool down_ended_ = false;
  bool closed_ = false;
  bool ended_ = false;
  TimerId idle_{};
  std::uint64_t idle_seen_ = 0;
};

}  // namespace mezite::net
