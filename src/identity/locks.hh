// Access locks: who or what may not be used until further notice.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.hh"
#include "store/database.hh"

namespace mezite::identity {

struct Lock {
  std::string id;
  std::string kind;  // user, role, node, login
  std::string name;
  std::string message;
  std::string created_by;
  SystemTime created_at{};
  std::optional<SystemTime> expires_at;
};

struct NewLock {
  std::string kind;
  std::string name;
  std::string message;
  std::string created_by;
  std::optional<SystemTime> expires_at;
};

class Locks {
 public:
  Locks(store::Database& database, const Clock& clock) : database_(database), clock_(clock) {}

  Result<Lock> create(const NewLock& lock);
  Result<std::vector<Lock>> active() const;  // those that are in force now, oldest first
  Status remove(std::string_view id);

 private:
  store::Database& database_;
  const Clock& clock_;
};

}  // namespace mezite::identity
