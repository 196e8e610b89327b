// This process's standard input and outputs on a shard, whatever they are: terminals, pipes, sockets, files.
#pragma once

#include <functional>
#include <memory>
#include <span>

#include "base/bytes.hh"
#include "base/result.hh"
#include "net/shard.hh"

namespace mezite::client {

// Pipes and sockets are set to non-blocking while it lives (as ssh does), terminals and files are not: other programs
// share the open file, and a shell gets its terminal back as it was.
class NonBlockingWhile {
 public:
  explicit NonBlockingWhile(int fd);
  ~NonBlockingWhile();
  NonBlockingWhile(const NonBlockingWhile&) = delete;
  NonBlockingWhile& operator=(const NonBlockingWhile&) = delete;

 private:
  int fd_;
  int flags_ = -1;  // to restore; −1: untouched
};

// Reads a descriptor while it is wanted. A regular file, which epoll does not take, is read in turns of the loop.
class InputPump {
 public:
  // Called when there is something to read: reads from fd itself (one read(2) will not block).
  using OnReadable = std::function<void()>;
  InputPump(net::Shard& shard, int fd, OnReadable on_readable);
  ~InputPump();
  InputPump(const InputPump&) = delete;
  InputPump& operator=(const InputPump&) = delete;

  Status start();
  void want(bool reading);
  int fd() const { return fd_; }

 private:
  void schedule();
  net::Shard& shard_;
  int fd_;
  OnReadable on_readable_;
  bool watched_ = false;
  bool wanted_ = false;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

// Writes bytes in order, keeping what the descriptor does not take at once.
class OutputPump {
 public:
  // Called with how many bytes have been written since the last call.
  using OnWritten = std::function<void(std::size_t)>;
  OutputPump(net::Shard& shard, int fd, OnWritten on_written);
  ~OutputPump();
  OutputPump(const OutputPump&) = delete;
  OutputPump& operator=(const OutputPump&) = delete;

  void write(BytesView bytes);
  bool empty() const { return waiting_.empty() || broken_; }
  bool broken() const { return broken_; }  // nobody reads any more; bytes are dropped and count as written

 private:
  std::size_t write_now(BytesView bytes);
  void flush();
  net::Shard& shard_;
  int fd_;
  OnWritten on_written_;
  Bytes waiting_;
  bool watched_ = false;
  bool broken_ = false;
};

}  // namespace mezite::client
