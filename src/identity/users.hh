// The users of the cluster.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "access/labels.hh"
#include "base/clock.hh"
#include "store/database.hh"

namespace mezite::identity {

struct User {
  std::string name;
  std::vector<std::string> roles;
  access::Traits traits;
  bool locked = false;  // an access lock names the user, or too many wrong passwords (then locked_until is set)
  std::optional<SystemTime> locked_until;
  bool has_password = false;
  SystemTime created_at{};
  std::optional<SystemTime> last_login_at;
};

struct NewUser {
  std::string name;
  std::vector<std::string> roles;  // must exist; at least one
  access::Traits traits;
};

struct UserChange {
  std::optional<std::vector<std::string>> roles;
  std::optional<access::Traits> traits;
};

// Thread-safe. Writes no audit events: who asked is known to the caller only.
class Users {
 public:
  Users(store::Database& database, const Clock& clock) : database_(database), clock_(clock) {}

  // kAlreadyExists, kInvalidArgument (name, traits), kNotFound (a role that does not exist).
  Result<User> create(const NewUser& user);
  Result<std::vector<User>> list() const;  // by name
  Result<User> get(std::string_view name) const;
  Result<User> update(std::string_view name, const UserChange& change);
  // With its password, sessions and invites. The last user that holds the role admin can't be deleted.
  Status remove(std::string_view name);
  Status record_login(std::string_view name);
  Result<bool> any() const;

 private:
  store::Database& database_;
  const Clock& clock_;
};

}  // namespace mezite::identity
