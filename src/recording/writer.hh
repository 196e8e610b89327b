// Writes one recording. No thread and no clock of its own: whoever drives it says what time it is.
// docs/recording-format.md
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>

#include "base/clock.hh"
#include "recording/event_buffer.hh"
#include "recording/header.hh"

namespace mezite::recording {

inline constexpr std::string_view kFileSuffix = ".mezrec";

class Writer {
 public:
  // Makes the file (it must not be there) with its header. The file is closed with the writer. With recipients the
  // events are encrypted under a new key that only they can open. Of the header's own keys only chain_key.recipient is
  // looked at: the hub, to which the new key of the chain is sealed.
  static Result<Writer> create(const std::filesystem::path& path, const Header& header, SteadyTime now,
                               std::span<const Recipient> recipients = {});

  Writer(Writer&&) noexcept;
  Writer& operator=(Writer&&) noexcept;
  ~Writer();

  // Adds bytes (any number) of a data kind. A full segment is written to the file at once. After the first error every
  // call gives that error, and the file ends with the last whole segment.
  Status write(EventKind kind, BytesView data, SteadyTime now);
  Status resize(std::uint16_t columns, std::uint16_t rows, SteadyTime now);

  // Segments that somebody else has filled, in place of the calls above: all in one go, none of them empty; what is
  // around their events in their memory is written to. kBulk is for much at once: it goes to the disk past the kernel's
  // cache (O_DIRECT), whose pages for a gigabyte cost more than everything else here; such a call waits for the disk.
  enum class Flow : std::uint8_t { kUsual, kBulk };
  Status append(std::span<Segment> segments, Flow flow = Flow::kUsual);

  // Writes what is older than kFlushInterval.
  Status flush_due(SteadyTime now);
  // Writes all there is.
  Status flush();
  // When flush_due() has something to do; SteadyTime::max() when nothing waits.
  SteadyTime next_flush() const;
  // Makes what was written durable (fdatasync). Does nothing when nothing was written since.
  Status sync();

  // For syncing on another thread in place of sync(): fdatasync() of fd() makes size_bytes() bytes durable, and
  // note_synced() or note_sync_error() tells of it afterwards.
  int fd() const;
  bool needs_sync() const;
  void note_synced(std::uint64_t size_bytes);
  void note_sync_error(const Error& error);

  // The end event, the index and the footer, durable. No call but the destructor may follow.
  Status finish(const SessionEnd& end, SteadyTime now);
  // The same when the end event was in a segment that was appended.
  Status finish();

  std::uint64_t size_bytes() const;  // written to the file, whole segments
  const Header& header() const;      // as it is in the file

 private:
  struct State;
  explicit Writer(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace mezite::recording
