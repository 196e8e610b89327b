// The kernel's audit subsystem over netlink: its rules, its state, and the records it sends to all who listen.
#pragma once

#include <linux/audit.h>

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.hh"
#include "base/result.hh"
#include "base/unique_fd.hh"

namespace mezite::agent {

// Of system calls of one architecture, when they end.
struct AuditRule {
  struct Field {
    std::uint32_t name = 0, comparison = 0, value = 0;  // AUDIT_PID, AUDIT_EQUAL, …
  };
  std::uint32_t architecture = 0;  // AUDIT_ARCH_*
  std::vector<std::uint32_t> system_calls;
  std::vector<Field> fields;
};

// Rules carry a key, by which they are found again: "mezite-" and the number of the process that set them.
inline constexpr std::string_view kAuditKeyPrefix = "mezite-";

// Requests to the kernel, one at a time. Not thread-safe.
class AuditLink {
 public:
  static Result<AuditLink> open();

  Result<audit_status> status();
  Status set_enabled(bool enabled);
  Status set_backlog_limit(std::uint32_t records);
  Status add(const AuditRule& rule, std::string_view key);
  // Of the rules with this key.
  Status remove_all(std::string_view key);
  // Of processes that are gone.
  Status remove_left_overs();
  // No rules at all; kFailedPrecondition when one of them turns the auditing of system calls off ("-a task,never").
  Result<bool> has_rules();

 private:
  explicit AuditLink(UniqueFd socket) : socket_(std::move(socket)) {}
  using Answer = std::function<void(std::uint16_t type, BytesView body)>;
  Status request(std::uint16_t type, BytesView body, const Answer& answer = nullptr);
  Result<std::vector<Bytes>> rules();
  Status remove(BytesView rule);

  UniqueFd socket_;
  std::uint32_t sequence_ = 0;
};

// The stream of records. Needs CAP_AUDIT_READ; auditd and others may listen as well.
class AuditStream {
 public:
  static Result<AuditStream> open();

  enum class Got { kRecord, kNothing, kLost };
  // Waits for the first record up to timeout_ms. kLost: records came faster than they were read. text is valid until
  // the next call.
  Got next(int timeout_ms, std::uint16_t& type, std::string_view& text);

 private:
  explicit AuditStream(UniqueFd socket) : socket_(std::move(socket)), buffer_(16384) {}
  UniqueFd socket_;
  std::vector<char> buffer_;
};

}  // namespace mezite::agent
