// Walks the chain. Inside src/audit/ only.
#pragma once

#include <functional>

#include "audit/audit_log.hh"
#include "audit/checkpoint.hh"

namespace mezite::audit {

// written: the end of the chain as the running hub knows it.
Result<VerifyReport> verify_chain(store::Database& database, const ChainKeys& keys, const Checkpoint& written,
                                  const std::function<bool(std::int64_t done, std::int64_t of)>& progress);

}  // namespace mezite::audit
