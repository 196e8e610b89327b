// Brings the log to one sink, for ever. Inside src/audit/sink/ only.
#pragma once

#include <memory>

#include "audit/sink/sink.hh"
#include "audit/sink/sinks.hh"

namespace mezite::audit {

// The wait before try number `failures` (1, 2, …): doubling from a second to five minutes, of which half to all, as
// `random` says.
std::chrono::milliseconds sink_delay(std::int64_t failures, std::uint64_t random);

class Shipper {
 public:
  // Takes up where the sink's cursor is; a new sink gets the log from its beginning.
  static Result<std::unique_ptr<Shipper>> start(AuditLog& log, store::Database& database, std::unique_ptr<Sink> sink,
                                                const Clock& clock);
  ~Shipper();
  SinkStatus status() const;
  // Waits until the sink took this event; false when the time is over before.
  bool await_delivered(std::int64_t sequence, std::chrono::milliseconds limit) const;

 private:
  struct State;
  explicit Shipper(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace mezite::audit
