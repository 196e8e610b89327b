// Reads along with an SFTP session and tells what is done to files. No I/O; bulk data is counted, not looked at.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "base/bytes.hh"
#include "base/result.hh"
#include "ssh/sftp/codec.hh"
#include "ssh/sftp/scanner.hh"

namespace mezite::agent {

struct FileOperation {
  enum class Kind {
    kOpen,
    kClose,
    kRename,
    kRemove,
    kMakeDirectory,
    kRemoveDirectory,
    kSetAttributes,
    kSymlink,
    kLink
  };
  Kind kind = Kind::kOpen;
  std::string path;    // as the client said it; of kRename and the links: what is or points where
  std::string target;  // the new name; what a link points to
  // What the server answered; none: not known (it ended first, or its answers can't be read).
  std::optional<ssh::sftp::StatusCode> status;
  std::uint32_t open_flags = 0;      // kOpen, kClose
  bool directory = false;            // kOpen: to be listed
  ssh::sftp::Attributes attributes;  // that were set
  std::uint64_t bytes_read = 0;      // kClose
  std::uint64_t bytes_written = 0;   // kClose
  bool copied_on_server = false;     // kClose: copy-data had a part in it whose length is not known
  bool left_open = false;            // kClose: the session ended first
};

// Everything on one thread. Callbacks come from within calls.
class SftpTap {
 public:
  struct Callbacks {
    std::function<void(FileOperation)> operation;
    // A direction can't be followed from here on; once for each. Requests without their answers are still told.
    std::function<void(std::string_view why)> lost;
  };
  explicit SftpTap(Callbacks callbacks);
  ~SftpTap();

  void from_client(BytesView bytes);
  void from_server(BytesView bytes);
  // The session is over: requests without an answer and files still open are told.
  void end();
  // Requests are being followed.
  bool following() const { return !requests_.scanner.failed(); }

 private:
  struct Direction final : ssh::sftp::PacketReader {
    Direction(SftpTap& tap, bool of_client) : owner(tap), client(of_client) {}
    std::size_t wanted(std::uint8_t type, std::size_t packet_bytes) override;
    Status on_packet(BytesView first_bytes, std::size_t packet_bytes) override;
    SftpTap& owner;
    const bool client;
    ssh::sftp::PacketScanner scanner{*this};
  };
  struct OpenFile {
    std::string path;
    std::uint32_t flags = 0;
    bool directory = false;
    std::uint64_t bytes_read = 0;
    std::uint64_t bytes_written = 0;
    bool copied = false;
  };
  // A request that the server has still to answer.
  struct Waiting {
    enum class Kind : std::uint8_t { kOther, kInit, kOpen, kClose, kRead, kWrite, kCopy, kChange };
    std::uint32_t id = 0;
    Kind kind = Kind::kOther;
    std::uint64_t bytes = 0;
    // Looked up when the answer comes: a client may guess what handle an open that is still on its way will get.
    std::string handle;                        // kClose … kCopy, kChange of an open file
    std::string other_handle;                  // kCopy: where to
    std::unique_ptr<FileOperation> operation;  // kOpen, kChange
  };

  Status on_request(BytesView first_bytes, std::size_t packet_bytes);
  Status on_write(BytesView first_bytes, std::size_t packet_bytes);
  Status on_reply(BytesView first_bytes, std::size_t packet_bytes);
  void await(Waiting waiting);
  void settle(Waiting waiting, std::optional<ssh::sftp::StatusCode> status);
  void open_file(const FileOperation& operation, BytesView handle);
  void close_file(const std::string& handle, std::optional<ssh::sftp::StatusCode> status, bool left_open);
  OpenFile* find(std::string_view handle);
  void lose_answers(std::string_view why);
  void lose_requests(std::string_view why);

  Callbacks callbacks_;
  Direction requests_{*this, true};
  Direction replies_{*this, false};
  std::deque<Waiting> waiting_;
  std::size_t waiting_text_bytes_ = 0;
  std::map<std::string, OpenFile, std::less<>> files_;  // by handle
  bool answers_lost_ = false;
  bool ended_ = false;
};

}  // namespace mezite::agent
