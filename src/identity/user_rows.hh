// Users as rows. Inside src/identity/ only.
#pragma once

#include "identity/users.hh"

namespace mezite::identity {

struct UserRow {
  User user;
  bool access_locked = false;  // by an access lock, not by wrong passwords
};

// kNotFound with a sentence.
Result<UserRow> load_user(store::Session& session, std::string_view name, SystemTime now);
Status check_user_exists(store::Session& session, std::string_view name);

}  // namespace mezite::identity
