// One-shot tokens with which a node joins.
#pragma once

#include <chrono>
#include <string>
#include <string_view>
#include <vector>

#include "access/labels.hh"
#include "base/clock.hh"
#include "store/database.hh"

namespace mezite::identity {

inline constexpr std::chrono::hours kMaxJoinTokenTtl{24 * 7};

struct JoinToken {
  std::string id;                  // what names it in ls and rm; not the secret
  std::vector<std::string> roles;  // "node"
  access::Labels labels;           // put on the node, over its own
  SystemTime created_at{};
  SystemTime expires_at{};
  std::string created_by;
  bool used = false;
  std::string used_by;  // node name
};

struct NewJoinToken {
  std::vector<std::string> roles{"node"};
  access::Labels labels;
  std::chrono::milliseconds ttl = std::chrono::hours(1);
  std::string created_by;
};

struct CreatedJoinToken {
  JoinToken token;
  std::string secret;  // 43 characters; the printed token is "<secret>.<pin of the Host CA>"
};

class JoinTokens {
 public:
  JoinTokens(store::Database& database, const Clock& clock) : database_(database), clock_(clock) {}

  Result<CreatedJoinToken> create(const NewJoinToken& token);
  Result<std::vector<JoinToken>> list() const;  // newest first; used and expired ones too, for kMaxJoinTokenTtl
  // By id. kNotFound.
  Status remove(std::string_view id);
  Result<std::int64_t> sweep();

  // Uses the token up, in the caller's transaction: of many at once exactly one succeeds. Takes "<secret>" or
  // "<secret>.<pin>". Errors: kNotFound (unknown), kUnauthenticated (expired), kFailedPrecondition (used), each a
  // sentence with the next step.
  Result<JoinToken> consume(store::Session& transaction, std::string_view token, std::string_view node_name);

 private:
  store::Database& database_;
  const Clock& clock_;
};

}  // namespace mezite::identity
