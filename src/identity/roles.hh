// The roles as stored: documents, the built-in ones among them.
#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "access/role_set.hh"
#include "base/clock.hh"
#include "store/database.hh"

namespace mezite::identity {

struct StoredRole {
  std::string name;
  std::string description;
  bool built_in = false;
  std::string document_json;
};

struct UpsertedRole {
  StoredRole role;
  bool created = false;
};

class Roles {
 public:
  Roles(store::Database& database, const Clock& clock) : database_(database), clock_(clock) {}

  // Makes the built-in roles what this binary says they are. At every start.
  Status seed();

  // YAML or JSON. kInvalidArgument with access::parse_role's words; kFailedPrecondition for a built-in role.
  Result<UpsertedRole> upsert(std::string_view document);
  Result<std::vector<StoredRole>> list() const;  // by name
  Result<StoredRole> get(std::string_view name) const;
  // kFailedPrecondition for a built-in role, and for one that users have (names them).
  Status remove(std::string_view name);

  // All of them with the revision that they belong to; kept until the revision moves, so it is cheap to call per
  // request.
  struct Current {
    std::int64_t revision = 0;
    access::RoleSet set;
    std::vector<std::string> documents;  // as an agent's snapshot carries them
  };
  Result<std::shared_ptr<const Current>> current() const;

 private:
  store::Database& database_;
  const Clock& clock_;
  mutable std::mutex mutex_;
  mutable std::shared_ptr<const Current> cached_;
};

}  // namespace mezite::identity
