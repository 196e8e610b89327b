// Finding events, and the word index that it goes by. Inside src/audit/ only.
#pragma once

#include "audit/audit_log.hh"

namespace mezite::audit {

Result<std::vector<StoredEvent>> search_log(store::Database& database, const Filter& filter);

// In the transaction that stores the event.
Status index_words(store::Session& transaction, std::int64_t sequence, const Event& event);

}  // namespace mezite::audit
