#include "identity/join_tokens.hh"

#include <algorithm>

#include "base/text.hh"
#include "crypto/hash.hh"
#include "crypto/random.hh"
#include "identity/columns.hh"
#include "store/collect.hh"

namespace mezite::identity {

namespace {

constexpr std::size_t kMaxTokenBytes = 256;
constexpr std::string_view kColumns =
    "SELECT id, roles, labels, created_at, expires_at, created_by, used, used_by, method,"
    " aws_accounts, aws_arns FROM join_tokens ";

JoinToken read_row(const store::Rows& rows) {
  return {.id = rows.text(0),
          .roles = list_from_json(rows.text(1)),
          .labels = labels_from_json(rows.text(2)),
          .created_at = rows.time(3),
          .expires_at = rows.time(4),
          .created_by = rows.text(5),
          .used = rows.truth(6),
          .used_by = rows.text(7),
          .method = rows.text(8) == "iam" ? JoinMethod::kIam : JoinMethod::kToken,
          .aws_accounts = list_from_json(rows.text(9)),
          .aws_arns = list_from_json(rows.text(10))};
}

bool is_account(std::string_view text) {
  return text.size() == 12 && std::ranges::all_of(text, [](char c) { return c >= '0' && c <= '9'; });
}

// An ARN has six parts; the fifth is the account. A wildcard stays within a part, and within a segment of the last.
Status check_pattern(std::string_view pattern, const std::vector<std::string>& accounts) {
  constexpr std::string_view kExample = "arn:aws:sts::111122223333:assumed-role/ROLE/*";
  std::vector<std::string_view> parts = split(pattern, ':');
  bool plain = pattern.size() <= 512 && std::ranges::all_of(pattern, [](char c) { return c > ' ' && c < 0x7f; });
  if (!plain || parts.size() != 6 || parts[0] != "arn" || !parts[1].starts_with("aws") || parts[5].empty() ||
      (parts[2] != "sts" && parts[2] != "iam") || !parts[3].empty()) {
    return fail(ErrorCode::kInvalidArgument, "--aws-arn: '{}' is not the ARN of a caller; it looks like {}",
                printable(pattern.substr(0, 120)), kExample);
  }
  if (std::ranges::find(accounts, parts[4]) == accounts.end()) {
    return fail(ErrorCode::kInvalidArgument,
                "--aws-arn: the account '{}' of '{}' is not one of --aws-account, so nobody could join with it",
                printable(parts[4]), printable(pattern.substr(0, 120)));
  }
  return {};
}

// '*' stands for any characters but ':' and '/', '?' for one of them.
bool matches(std::string_view pattern, std::string_view text) {
  constexpr auto kNone = std::string_view::npos;
  auto free = [](char c) { return c != ':' && c != '/'; };
  std::size_t p = 0, t = 0, star = kNone, resume = 0;
  while (t < text.size()) {
    if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      resume = t;
    } else if (p < pattern.size() && (pattern[p] == text[t] || (pattern[p] == '?' && free(text[t])))) {
      ++p;
      ++t;
    } else if (star != kNone && free(text[resume])) {
      p = star + 1;
      t = ++resume;
    } else {
      return false;
    }
  }
  while (p < pattern.size() && pattern[p] == '*') ++p;
  return p == pattern.size();
}

}  // namespace

std::string_view to_text(JoinMethod method) { return method == JoinMethod::kIam ? "iam" : "token"; }

Status check_aws_identity(const JoinToken& token, const AwsIdentity& who) {
  if (std::ranges::find(token.aws_accounts, who.account) == token.aws_accounts.end()) {
    return fail(ErrorCode::kPermissionDenied,
                "AWS account {0} may not join with token {1}: make one with mezctl tokens create --join-method=iam "
                "--aws-account={0}",
                printable(who.account.substr(0, 32)), token.id);
  }
  // The account is in the ARN too; one that contradicts itself is nobody's.
  std::vector<std::string_view> parts = split(who.arn, ':');
  bool consistent = parts.size() == 6 && parts[0] == "arn" && parts[4] == who.account;
  bool listed = token.aws_arns.empty() ||
                std::ranges::any_of(token.aws_arns, [&](const std::string& one) { return matches(one, who.arn); });
  if (consistent && listed) return {};
  return fail(ErrorCode::kPermissionDenied,
              "{} may not join with token {}, whose --aws-arn is {}: make one that has it, or give the machine another "
              "role",
              printable(who.arn.substr(0, 256)), token.id,
              token.aws_arns.empty() ? std::string("any of its accounts") : join(token.aws_arns, ", "));
}

Result<CreatedJoinToken> JoinTokens::create(const NewJoinToken& token) {
  if (token.roles.empty()) return fail(ErrorCode::kInvalidArgument, "a join token needs a role: give --roles=node");
  for (const std::string& role : token.roles) {
    if (role != "node") {
      return fail(ErrorCode::kInvalidArgument, "'{}' is no role of a join token: give --roles=node",
                  printable(role.substr(0, 80)));
    }
  }
  const auto most = token.method == JoinMethod::kIam ? kMaxIamTokenTtl : kMaxJoinTokenTtl;
  if (token.ttl <= token.ttl.zero() || token.ttl > most) {
    return fail(ErrorCode::kInvalidArgument, "a join token is good for at most {}: give --ttl=1h",
                format_duration(most));
  }
  if (token.method == JoinMethod::kToken && !(token.aws_accounts.empty() && token.aws_arns.empty())) {
    return fail(ErrorCode::kInvalidArgument, "--aws-account and --aws-arn go with --join-method=iam");
  }
  if (token.method == JoinMethod::kIam && token.aws_accounts.empty()) {
    return fail(ErrorCode::kInvalidArgument,
                "--join-method=iam needs --aws-account=111122223333: without one nobody could join");
  }
  if (token.aws_accounts.size() > 64 || token.aws_arns.size() > 64) {
    return fail(ErrorCode::kInvalidArgument, "a join token lists at most 64 accounts and 64 ARNs");
  }
  for (const std::string& account : token.aws_accounts) {
    if (!is_account(account)) {
      return fail(ErrorCode::kInvalidArgument, "--aws-account: '{}' is not an AWS account: 12 digits",
                  printable(account.substr(0, 80)));
    }
  }
  for (const std::string& pattern : token.aws_arns) MEZ_CHECK(check_pattern(pattern, token.aws_accounts));
  MEZ_CHECK(access::check_labels(token.labels));
  CreatedJoinToken created;
  created.secret = crypto::random_token();
  created.token = {.id = to_hex(crypto::random_bytes(6)),
                   .roles = token.roles,
                   .labels = token.labels,
                   .created_at = clock_.now(),
                   .expires_at = clock_.now() + token.ttl,
                   .created_by = token.created_by,
                   .used = false,
                   .used_by = "",
                   .method = token.method,
                   .aws_accounts = token.aws_accounts,
                   .aws_arns = token.aws_arns};
  // With kIam a secret is stored that nobody has been told.
  auto digest = crypto::sha256(as_bytes(created.secret));
  MEZ_TRY(auto transaction, database_.begin());
  MEZ_CHECK(transaction.execute(
      "INSERT INTO join_tokens (id, secret_sha256, roles, labels, created_by, created_at, expires_at, method,"
      " aws_accounts, aws_arns) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
      {created.token.id, BytesView(digest), list_to_json(token.roles), labels_to_json(token.labels), token.created_by,
       created.token.created_at, created.token.expires_at, to_text(token.method), list_to_json(token.aws_accounts),
       list_to_json(token.aws_arns)}));
  MEZ_CHECK(transaction.commit());
  if (token.method == JoinMethod::kIam) created.secret = created.token.id;
  return created;
}

Result<std::vector<JoinToken>> JoinTokens::list() const {
  MEZ_TRY(auto reader, database_.snapshot());
  static const std::string sql = std::string(kColumns) + "ORDER BY created_at DESC, id";
  MEZ_TRY(auto rows, reader.query(sql));
  return store::collect(std::move(rows), read_row);
}

Status JoinTokens::remove(std::string_view id) {
  MEZ_TRY(auto transaction, database_.begin());
  MEZ_TRY(std::int64_t removed, transaction.execute("DELETE FROM join_tokens WHERE id = ?1", {id}));
  if (removed == 0) {
    return fail(ErrorCode::kNotFound, "there is no join token '{}': mezctl tokens ls shows their ids",
                printable(id.substr(0, 80)));
  }
  return transaction.commit();
}

Result<std::int64_t> JoinTokens::sweep() {
  MEZ_TRY(auto transaction, database_.begin());
  MEZ_TRY(std::int64_t removed,
          transaction.execute("DELETE FROM join_tokens WHERE expires_at <= ?1", {clock_.now() - kMaxJoinTokenTtl}));
  MEZ_CHECK(transaction.commit());
  return removed;
}

Result<JoinToken> JoinTokens::consume(store::Session& transaction, std::string_view token, std::string_view node_name) {
  constexpr std::string_view kNext = "make a new one with mezctl tokens create --roles=node";
  if (token.size() > kMaxTokenBytes) return fail(ErrorCode::kNotFound, "this join token is not known here: {}", kNext);
  auto digest = crypto::sha256(as_bytes(token.substr(0, token.find('.'))));
  SystemTime now = clock_.now();
  MEZ_TRY(std::int64_t taken,
          transaction.execute("UPDATE join_tokens SET used = 1, used_at = ?2, used_by = ?3 WHERE secret_sha256 = ?1 AND"
                              " used = 0 AND expires_at > ?2 AND method = 'token'",
                              {BytesView(digest), now, node_name}));
  static const std::string sql = std::string(kColumns) + "WHERE secret_sha256 = ?1";
  MEZ_TRY(auto rows, transaction.query(sql, {BytesView(digest)}));
  MEZ_TRY(bool found, rows.next());
  if (!found) {
    // Somebody gave the name of the other kind.
    if (find_iam(transaction, token.substr(0, token.find('.')))) {
      return fail(ErrorCode::kFailedPrecondition,
                  "this token is for machines that prove who they are to AWS: set MEZITE_JOIN_METHOD=iam");
    }
    return fail(ErrorCode::kNotFound, "this join token is not known here: {}", kNext);
  }
  JoinToken known = read_row(rows);
  if (taken == 1) return known;
  if (known.used) {
    return fail(ErrorCode::kFailedPrecondition, "this join token was used already, and works once: {}", kNext);
  }
  return fail(ErrorCode::kUnauthenticated, "this join token expired at {}: {}", to_rfc3339(known.expires_at), kNext);
}

Result<JoinToken> JoinTokens::find_iam(store::Session& session, std::string_view id) const {
  constexpr std::string_view kNext =
      "make a new one with mezctl tokens create --roles=node --join-method=iam --aws-account=ACCOUNT";
  static const std::string sql = std::string(kColumns) + "WHERE id = ?1 AND method = 'iam'";
  MEZ_TRY(auto rows, session.query(sql, {id.substr(0, kMaxTokenBytes)}));
  MEZ_TRY(bool found, rows.next());
  if (!found) return fail(ErrorCode::kNotFound, "this join token of method iam is not known here: {}", kNext);
  JoinToken known = read_row(rows);
  if (known.expires_at > clock_.now()) return known;
  return fail(ErrorCode::kUnauthenticated, "this join token expired at {}: {}", to_rfc3339(known.expires_at), kNext);
}

Result<JoinToken> JoinTokens::find_iam(std::string_view id) const {
  MEZ_TRY(auto reader, database_.snapshot());
  return find_iam(reader, id);
}

}  // namespace mezite::identity
