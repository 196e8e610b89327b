// Where the agent's audit events go.
#pragma once

#include <memory>
#include <mutex>
#include <vector>

#include "agent/session/admission.hh"
#include "audit/event.hh"

namespace mezite::agent {

// Thread-safe.
class EventSink {
 public:
  virtual ~EventSink() = default;
  // Durable when it returns: blocks for the disk, so call it on a worker.
  virtual Status emit(std::vector<audit::Event> events) = 0;
};

// This node's facts, which change when labels are evaluated anew. Thread-safe.
class NodeFactsStore {
 public:
  explicit NodeFactsStore(NodeFacts facts) : current_(std::make_shared<const NodeFacts>(std::move(facts))) {}
  std::shared_ptr<const NodeFacts> current() const {
    std::lock_guard lock(mutex_);
    return current_;
  }
  void put(NodeFacts facts) {
    std::lock_guard lock(mutex_);
    current_ = std::make_shared<const NodeFacts>(std::move(facts));
  }

 private:
  mutable std::mutex mutex_;
  std::shared_ptr<const NodeFacts> current_;
};

// An event about this node: server and resource filled in.
audit::Event node_event(audit::EventKind kind, const NodeFacts& node, const Clock& clock);
// The same about what a user did here.
audit::Event user_event(audit::EventKind kind, const NodeFacts& node, const Principal& principal,
                        std::string_view client_ip, const Clock& clock);
// The event of a denial; its id is what the user is shown.
audit::Event denial_event(const Denial& denial, const NodeFacts& node, std::string_view login,
                          std::string_view client_ip, const Clock& clock);

}  // namespace mezite::agent
