// Single values by name, and the revision: the number of the cluster's state as agents see it.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "store/session.hh"

namespace mezite::store {

Result<std::optional<std::string>> get_setting(Session& session, std::string_view name);
Status put_setting(Session& session, std::string_view name, std::string_view value);

// Grows by one with every change that agents must know of (roles, CAs, locks); to be called in the transaction of the
// change. Gives the new one.
Result<std::int64_t> bump_revision(Session& transaction);
Result<std::int64_t> current_revision(Session& session);

}  // namespace mezite::store
