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
// Of one that is no secret: machines of a group come for as long as the group is there.
inline constexpr std::chrono::hours kMaxIamTokenTtl{24 * 366};

enum class JoinMethod {
  kToken,  // whoever has the secret, once
  kIam,    // whoever AWS says is one of those listed, any number of times
};
std::string_view to_text(JoinMethod method);  // "token", "iam"

struct JoinToken {
  std::string id;                  // what names it in ls and rm; not the secret
  std::vector<std::string> roles;  // "node"
  access::Labels labels;           // put on the node, over its own
  SystemTime created_at{};
  SystemTime expires_at{};
  std::string created_by;
  bool used = false;
  std::string used_by;  // node name
  JoinMethod method = JoinMethod::kToken;
  std::vector<std::string> aws_accounts{};  // with kIam: at least one
  std::vector<std::string> aws_arns{};      // with kIam: patterns of which one must match; empty: any of the accounts
};

struct NewJoinToken {
  std::vector<std::string> roles{"node"};
  access::Labels labels;
  std::chrono::milliseconds ttl = std::chrono::hours(1);
  std::string created_by;
  JoinMethod method = JoinMethod::kToken;
  std::vector<std::string> aws_accounts{};  // 12 digits each
  std::vector<std::string>
      aws_arns{};  // "arn:aws:sts::111122223333:assumed-role/web-*/*"; no '*' reaches over ':' or '/'
};

struct CreatedJoinToken {
  JoinToken token;
  std::string secret;  // 43 characters; with kIam the id. The printed token is "<secret>.<pin of the Host CA>"
};

// Whom AWS STS says that a request is of.
struct AwsIdentity {
  std::string account;  // "111122223333"
  std::string arn;      // "arn:aws:sts::111122223333:assumed-role/web/i-0123456789abcdef0"
};
// Whether the token lets this one join: its account is listed, and its ARN matches a pattern, if there are any. The
// error (kPermissionDenied) says which of the two it is and what to do.
Status check_aws_identity(const JoinToken& token, const AwsIdentity& who);

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
  // The token with this id of method kIam, which is not expired; nothing is used up. kNotFound, kUnauthenticated.
  Result<JoinToken> find_iam(std::string_view id) const;
  Result<JoinToken> find_iam(store::Session& session, std::string_view id) const;

 private:
  store::Database& database_;
  const Clock& clock_;
};

}  // namespace mezite::identity
