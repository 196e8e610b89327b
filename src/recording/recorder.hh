// Records many sessions with one thread, so that a session's data path only copies bytes into memory.
#pragma once

#include <functional>
#include <memory>

#include "base/clock.hh"
#include "base/lent_memory.hh"
#include "recording/event.hh"
#include "recording/header.hh"
#include "recording/spool.hh"

namespace mezite::recording {

class Recorder;

// One session being recorded. write() to finish() belong to one thread at a time (the session's shard); callbacks come
// on the recorder's thread and must only post elsewhere. Dropping it without finish() ends the recording as a lost
// connection.
class Session {
 public:
  struct Callbacks {
    std::function<void()> drained;             // after congested() was seen: there is room again
    std::function<void(const Error&)> failed;  // once: nothing is recorded from here on (disk full, …)
    std::function<void()> finished;            // once, after finish(): the file waits for upload
    // So many bytes of the file are durable: whole segments.
    std::function<void(std::uint64_t bytes)> synced;
  };

  ~Session();
  // Never drops and never blocks. While congested() is true, stop reading from the session.
  void write(EventKind kind, BytesView data);
  // Memory of the recording for bytes that are yet to come, at most `most`: the next call is to write() what came, from
  // its beginning on, which then is not copied. Hold it until nothing reads those bytes any more. None for a session of
  // which little comes: copying that costs less than the memory.
  LentMemory lend(std::size_t most);
  void resize(std::uint16_t columns, std::uint16_t rows);
  void finish(const SessionEnd& end);
  // In place of finish(), for a session that was never begun: the file is removed, no callback comes.
  void discard();

  // More than 2 MiB wait. Pausing on it bounds memory; `drained` is called at half of that.
  bool congested() const;
  bool failed() const;
  const Header& header() const;  // as it is in the file

 private:
  friend class Recorder;
  struct State;
  explicit Session(std::shared_ptr<State> state);
  std::shared_ptr<State> state_;
};

class Recorder {
 public:
  // The spool and the clock must outlive the recorder.
  Recorder(Spool& spool, const Clock& clock);
  ~Recorder();  // writes all that waits; sessions still open are ended as lost connections
  Recorder(const Recorder&) = delete;
  Recorder& operator=(const Recorder&) = delete;

  // Blocks for the making of the file, so call it from a worker or at session set-up. Refused with kResourceExhausted
  // when the spool is full. With recipients it is encrypted to them.
  Result<std::unique_ptr<Session>> open(const Header& header, Session::Callbacks callbacks,
                                        std::span<const Recipient> recipients = {});
  const Spool& spool() const;

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace mezite::recording
