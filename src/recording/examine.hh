// What one reading of a whole recording says: its hash, its header, and whether it is what its node wrote.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "crypto/hash.hh"
#include "recording/bulk_file.hh"
#include "recording/reader.hh"

namespace mezite::recording {

// What follows, in memory that stays as it is until the next call; empty at the end.
using Pieces = std::function<Result<BytesView>()>;

// A file from its start on. `size` is what it has: one that becomes shorter meanwhile is kIo, what is added to it is
// not read. `file` outlives it.
Pieces pieces_of(BulkFile& file, std::uint64_t size);

// A recording for a Reader, with the hash of all of it. Once the pieces have failed, every call gives that error.
class HashedReading {
 public:
  explicit HashedReading(Pieces pieces) : pieces_(std::move(pieces)) {}
  HashedReading(const HashedReading&) = delete;
  HashedReading& operator=(const HashedReading&) = delete;

  // Refers to this.
  Pull pull() {
    return [this](std::span<std::uint8_t> buffer) { return read(buffer); };
  }
  // The SHA-256 of everything; what has not been read yet is read now.
  Result<Bytes> finish();
  // The error of the pieces, if there was one.
  Status status() const { return error_ ? Status(std::unexpected(*error_)) : Status(); }

 private:
  Result<std::size_t> read(std::span<std::uint8_t> buffer);
  Status refill();

  Pieces pieces_;
  BytesView rest_;
  std::optional<Error> error_;
  crypto::Hasher hasher_{crypto::HashAlgorithm::kSha256};
};

// What a recording must agree with.
struct Origin {
  const Identity* hub = nullptr;      // whose key opens that of the chain; null: only sums are verified
  const Header* announced = nullptr;  // with which its upload began; null: not known
  std::string_view chain_id;          // that its session began with; empty: not known
};

// The problem of one whose chain_id is not the session's.
inline constexpr std::string_view kReplaced =
    "the recording was replaced: it is another one than its session began with";

struct Examined {
  Bytes sha256;
  std::optional<Header> header;  // none: it has none that can be read
  Verified verified;
  std::string problem;   // empty: it is what the node wrote, as far as it is complete
  std::string unopened;  // why its tags were not verified, only its sums
};

// An error is one of reading: whatever the bytes are, they make a verdict.
Result<Examined> examine(Pieces pieces, const Origin& origin);

// The same of its header only: no hash, nothing verified but that.
Result<Examined> examine_header(Pieces pieces, const Origin& origin);

// SHA-256 in hexadecimal.
Result<std::string> hash_of_file(const std::filesystem::path& path);

}  // namespace mezite::recording
