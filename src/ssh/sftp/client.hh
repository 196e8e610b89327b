// A client of SFTP without its channel: requests in, bytes out, answers in whatever order they come.
//
// One thread. A handler may make further requests, but must not destroy the client.
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/bytes.hh"
#include "base/result.hh"
#include "ssh/sftp/codec.hh"
#include "ssh/sftp/scanner.hh"

namespace mezite::ssh::sftp {

// Who takes what SSH_FXP_READ brings. Kept by the client until on_read() has returned.
class ReadTarget {
 public:
  virtual ~ReadTarget() = default;
  // The bytes of one answer, in pieces, in order; valid during the call.
  virtual void on_piece(std::uint64_t offset, BytesView piece) = 0;
  // The answer is complete: how many bytes of it came; 0 at the end of the file.
  virtual void on_read(std::uint64_t offset, std::uint32_t asked, Result<std::uint32_t> got) = 0;
};

// Who wants to know what came of SSH_FXP_WRITE.
class WriteTarget {
 public:
  virtual ~WriteTarget() = default;
  virtual void on_written(std::uint64_t offset, std::uint32_t size, Status status) = 0;
};

// What of the server is known after the handshake.
struct ServerFacts {
  std::vector<Extension> extensions;
  std::uint32_t max_read_bytes = 32768;  // of one request; from limits@openssh.com where there is that
  std::uint32_t max_write_bytes = 32768;
  std::size_t max_open_files = 64;

  bool has(std::string_view extension) const;
};

class Client final : private PacketReader {
 public:
  using ReplyHandler = std::move_only_function<void(Result<Reply>)>;  // views in the reply: valid during the call
  // Once: success when requests may be made. An error of the stream later on is told to the requests that wait.
  using ReadyHandler = std::move_only_function<void(Status)>;

  Client() : scanner_(*this) {}
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;
  ~Client() override = default;  // no handler is called any more

  // The handshake: version, then limits@openssh.com.
  void start(ReadyHandler ready);
  // What the server sent. A stream that is no SFTP, or an answer to nothing, ends the client: see error().
  void feed(BytesView bytes);
  // The stream is over; every request that waits fails with this.
  void end(const Error& why);

  // What is to be sent, one run of bytes after the other.
  BytesView pending_output() const;
  void consume_output(std::size_t size);
  std::size_t output_size() const { return output_bytes_; }
  // Called when there is output after there was none; from within any other call.
  void set_wakeup(std::function<void()> wakeup) { wakeup_ = std::move(wakeup); }

  const ServerFacts& server() const { return server_; }
  const std::optional<Error>& error() const { return error_; }
  std::size_t in_flight() const { return pending_.size(); }

  // The handler is called once, from feed() or end(); after the end: before this returns.
  void request(const Request& request, ReplyHandler handler);
  void read(BytesView handle, std::uint64_t offset, std::uint32_t size, std::shared_ptr<ReadTarget> target);

  // Bulk data without a copy: room for size bytes in the packet to be, at most server().max_write_bytes; before any
  // other call, send_write() with the bytes written there.
  std::span<std::uint8_t> write_space(std::size_t handle_bytes, std::uint32_t size);
  void send_write(BytesView handle, std::uint64_t offset, std::uint32_t size, std::shared_ptr<WriteTarget> target);
  // Enough waits to be sent: ask for when_room() before the next write.
  bool output_full() const { return output_bytes_ >= kOutputHighWater; }
  // Calls once, from consume_output(), when less waits.
  void when_room(std::move_only_function<void()> call) { waiting_for_room_.push_back(std::move(call)); }

 private:
  static constexpr std::size_t kOutputHighWater = std::size_t{2} << 20;
  struct Chunk {
    std::unique_ptr<std::uint8_t[]> bytes;
    std::size_t capacity = 0;
    std::size_t begin = 0;
    std::size_t end = 0;
  };
  struct Pending {
    ReplyHandler handler;
    std::shared_ptr<ReadTarget> read;
    std::shared_ptr<WriteTarget> write;
    std::uint64_t offset = 0;
    std::uint32_t size = 0;
  };

  std::size_t wanted(std::uint8_t type, std::size_t packet_bytes) override;
  Status on_packet(BytesView first_bytes, std::size_t packet_bytes) override;
  void on_rest(BytesView piece) override;

  Status on_version(const VersionReply& version);
  void ask_limits();
  Status on_data_head(BytesView head, std::size_t packet_bytes);
  void finish_data();
  Chunk make_chunk(std::size_t capacity);
  void push(Chunk chunk);
  std::uint32_t add(Pending pending);
  void send(const Request& request, std::uint32_t id);
  static void fail_pending(Pending pending, const Error& why);
  void become_ready(Status status);

  PacketScanner scanner_;
  std::deque<Chunk> output_;
  std::size_t output_bytes_ = 0;
  std::optional<Chunk> spare_;
  std::optional<Chunk> open_write_;
  std::function<void()> wakeup_;
  std::vector<std::move_only_function<void()>> waiting_for_room_;

  std::unordered_map<std::uint32_t, Pending> pending_;
  std::uint32_t next_id_ = 1;
  std::optional<Pending> data_;  // the read whose answer is coming in
  std::uint32_t data_got_ = 0;
  std::uint32_t data_bytes_ = 0;

  ReadyHandler ready_;
  bool versioned_ = false;
  ServerFacts server_;
  std::optional<Error> error_;
};

// What a reply means to who expects one kind of it. A StatusReply other than OK becomes an error with the status in
// words: kNotFound, kPermissionDenied, kUnavailable or kIo; another kind of reply is kProtocol.
Status status_of(const Result<Reply>& reply);
Result<std::string> handle_of(const Result<Reply>& reply);
Result<Attributes> attributes_of(const Result<Reply>& reply);
Result<std::vector<NameEntry>> names_of(Result<Reply> reply);
// SSH_FX_EOF, the end of a directory.
bool is_end(const Result<Reply>& reply);

}  // namespace mezite::ssh::sftp
