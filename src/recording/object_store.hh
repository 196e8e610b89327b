// Where complete recordings are kept in place of the hub's disk.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string_view>

#include "base/bytes.hh"

namespace mezite::recording {

struct ReadChunk {
  Bytes data;
  bool eof = false;
};

// Calls block. Thread-safe.
class ObjectStore {
 public:
  virtual ~ObjectStore() = default;
  // The whole file as the object of this session; the same again when it is there already. Durable when it returns.
  // `progress` names a file for whatever makes an interrupted call resumable; removed when it has succeeded.
  virtual Status store(std::string_view session_id, const std::filesystem::path& file,
                       const std::filesystem::path& progress) = 0;
  // At most max_bytes from the offset.
  virtual Result<ReadChunk> read(std::string_view session_id, std::uint64_t offset, std::size_t max_bytes) = 0;
  virtual Status remove(std::string_view session_id) = 0;
};

}  // namespace mezite::recording
