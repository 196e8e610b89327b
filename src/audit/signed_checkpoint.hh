// Checkpoints that leave the machine: number and hash of an event, signed. Inside src/audit/ only.
#pragma once

#include <string>

#include "audit/audit_log.hh"
#include "audit/chain.hh"

namespace mezite::audit {

struct SignedCheckpoint {
  std::string cluster_name;
  std::int64_t sequence = 0;
  ChainHash hmac{};
  std::string time;  // RFC 3339
  std::string key_id;
};

// The details of an audit.checkpoint event. Without a key: not signed.
std::string signed_checkpoint(const ChainKeys& keys, const SignedCheckpoint& checkpoint);

// A line that was kept elsewhere: hostile input. kInvalidArgument for one that is none, kUnauthenticated for a wrong
// signature, kNotFound for a key that is not configured.
Result<SignedCheckpoint> read_signed_checkpoint(const ChainKeys& keys, std::string_view line);

// Whether the log still holds what the lines say. Changes the report where it does not.
Status compare_checkpoints(store::Database& database, const ChainKeys& keys, std::string_view cluster_name,
                           std::span<const std::string> lines, VerifyReport& report);

}  // namespace mezite::audit
