// One receiver of audit events. Inside src/audit/sink/ only.
#pragma once

#include <atomic>
#include <span>
#include <string>

#include "audit/audit_log.hh"

namespace mezite::audit {

// Set by another thread: what is under way should end soon.
using StopFlag = std::atomic<bool>;

class Sink {
 public:
  virtual ~Sink() = default;
  virtual const char* name() const = 0;    // "webhook": the cursor's key
  virtual std::string target() const = 0;  // for people; never a secret
  // Blocks. Success: the receiver has all of them. An error: it may have some. kResourceExhausted: too many at once.
  // Events come in order, and again after an error.
  virtual Status deliver(std::span<const StoredEvent> events, const StopFlag& stop) = 0;
};

// The event as sinks give it: the stored JSON with "sequence" added.
std::string sink_json(const StoredEvent& event);

}  // namespace mezite::audit
