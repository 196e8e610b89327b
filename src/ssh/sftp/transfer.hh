// What downloads and uploads of one file have in common.
#pragma once

#include <cstdint>
#include <functional>
#include <span>

#include "base/bytes.hh"
#include "base/result.hh"

namespace mezite::ssh::sftp {

// The local ends; the caller keeps them until `done` was called.
class FileSource {
 public:
  virtual ~FileSource() = default;
  // Fills `into` from offset on; less only at the end of the file.
  virtual Result<std::size_t> read(std::span<std::uint8_t> into, std::uint64_t offset) = 0;
};
class FileSink {
 public:
  virtual ~FileSink() = default;
  // Pieces come in the order of the file as long as the server answers in order, as OpenSSH's does.
  virtual Status write(BytesView bytes, std::uint64_t offset) = 0;
};

struct TransferLimits {
  std::size_t max_requests = 64;  // in flight for this file
  // Of one request; the server's own limit holds too.
  std::uint32_t request_bytes = 0;  // 0: as large as the server takes them
};

// Called with how many bytes have arrived since the last call.
using ProgressHandler = std::function<void(std::uint64_t bytes)>;

}  // namespace mezite::ssh::sftp
