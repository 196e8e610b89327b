// Where complete recordings are kept in place of the hub's disk.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.hh"
#include "base/clock.hh"

namespace mezite::recording {

struct ReadChunk {
  Bytes data;
  bool eof = false;
};

// What the hub knew of a recording when it stored it, kept with the object: claims of whoever can write there.
struct ObjectFacts {
  std::string sha256;                  // hexadecimal; empty: not known
  std::optional<SystemTime> ended_at;  // in milliseconds
};

struct ObjectHead {
  Bytes data;  // the first bytes
  std::uint64_t size_bytes = 0;
  ObjectFacts facts;
};

struct ObjectPage {
  std::vector<std::string> session_ids;  // ascending
  std::int64_t others = 0;               // objects there that are no recordings by their names
  std::string next;                      // for the next page; empty: this was the last
};

// Calls block. Thread-safe.
class ObjectStore {
 public:
  virtual ~ObjectStore() = default;
  // The whole file as the object of this session; the same again when it is there already. Durable when it returns.
  // `progress` names a file for whatever makes an interrupted call resumable; removed when it has succeeded.
  virtual Status store(std::string_view session_id, const std::filesystem::path& file,
                       const std::filesystem::path& progress, const ObjectFacts& facts) = 0;
  // At most max_bytes from the offset.
  virtual Result<ReadChunk> read(std::string_view session_id, std::uint64_t offset, std::size_t max_bytes) = 0;
  virtual Status remove(std::string_view session_id) = 0;
  virtual Result<ObjectHead> head(std::string_view session_id, std::size_t max_bytes) = 0;
  // Those after the session id; with `next` of the page before, what follows it.
  virtual Result<ObjectPage> list(std::string_view after_session_id, std::string_view next) = 0;
};

}  // namespace mezite::recording
