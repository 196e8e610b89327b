// Reads and verifies a recording as a stream, in memory that does not grow with it. Input is hostile.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <span>

#include "recording/event.hh"
#include "recording/header.hh"
#include "recording/recipient.hh"

namespace mezite::recording {

// Fills as much of the buffer as it likes; 0 is the end.
using Pull = std::function<Result<std::size_t>(std::span<std::uint8_t> buffer)>;
// The same from any place, and how many bytes there are by now.
struct Source {
  std::function<Result<std::size_t>(std::uint64_t offset, std::span<std::uint8_t> buffer)> read;
  std::function<Result<std::uint64_t>()> size;
};

struct ReadOptions {
  // Gives the key of the chain for a header; called during open() only. With a key the tags are verified, so that
  // nothing is given that was not written during the session. An empty one: they are not; its error is open()'s.
  std::function<Result<Secret>(const Header&)> chain_key;
  // Opens an encrypted recording; used during open() only. Without it the chain of an encrypted one can be verified,
  // but next() has no events to give and says so (kFailedPrecondition).
  const Identity* identity = nullptr;
  // kChain: every segment is verified, next() gives none of the events. kWhatOpens: kChain for a recording that is
  // encrypted to others, for who holds recordings without reading them.
  enum class Content { kEvents, kChain, kWhatOpens } content = Content::kEvents;
};

class Reader {
 public:
  static Result<Reader> open(Pull pull, const ReadOptions& options = {});
  static Result<Reader> open_seekable(Source source, const ReadOptions& options = {});
  static Result<Reader> open_file(const std::filesystem::path& path, const ReadOptions& options = {});
  Reader(Reader&&) noexcept;
  Reader& operator=(Reader&&) noexcept;
  ~Reader();

  const Header& header() const;

  // Whether the tags are verified: there was a key of the chain.
  bool authenticates() const;

  // The next event; none at the end. An altered byte is kCorrupt naming the offset of its segment, after the events of
  // all earlier segments were given.
  Result<std::optional<Event>> next();

  // Goes to the last place in the index that is not after `at`, or to the start where there is no index (the recording
  // was cut off, or still runs): next() goes on from there, so skip what is earlier than `at`. What is passed over is
  // not verified. kFailedPrecondition when the source can't be read from any place.
  Status seek(std::chrono::milliseconds at);

  // When the last segment seen begins; of a recording that is read as a chain, the nearest thing to its length.
  std::chrono::milliseconds position() const;

  // After the end: whether the recording was closed properly. A torn one lacks its end (crash, or still being written).
  bool complete() const;
  // Bytes up to and including the last whole segment: where a torn file is cut.
  std::uint64_t valid_bytes() const;

 private:
  struct State;
  explicit Reader(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

// Reads all of it; gives what the events say, for storage and recovery.
struct Verified {
  bool complete = false;
  std::uint64_t valid_bytes = 0;
  std::chrono::milliseconds duration{0};
  std::optional<SessionEnd> end;  // none as well when it is encrypted
};
Result<Verified> verify_file(const std::filesystem::path& path);
Result<Verified> verify(Pull pull);
Result<Verified> verify(Reader& reader);

}  // namespace mezite::recording
