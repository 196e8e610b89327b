#include "identity/join_tokens.hh"

#include "base/text.hh"
#include "crypto/hash.hh"
#include "crypto/random.hh"
#include "identity/columns.hh"

namespace mezite::identity {

namespace {

constexpr std::size_t kMaxTokenBytes = 256;
constexpr std::string_view kColumns =
    "SELECT id, roles, labels, created_at, expires_at, created_by, used, used_by FROM join_tokens ";

JoinToken read_row(const store::Rows& rows) {
  return {.id = rows.text(0),
          .roles = list_from_json(rows.text(1)),
          .labels = labels_from_json(rows.text(2)),
          .created_at = rows.time(3),
          .expires_at = rows.time(4),
          .created_by = rows.text(5),
          .used = rows.truth(6),
          .used_by = rows.text(7)};
}

}  // namespace

Result<CreatedJoinToken> JoinTokens::create(const NewJoinToken& token) {
  if (token.roles.empty()) return fail(ErrorCode::kInvalidArgument, "a join token needs a role: give --roles=node");
  for (const std::string& role : token.roles) {
    if (role != "node") {
      return fail(ErrorCode::kInvalidArgument, "'{}' is no role of a join token: give --roles=node",
                  printable(role.substr(0, 80)));
    }
  }
  if (token.ttl <= token.ttl.zero() || token.ttl > kMaxJoinTokenTtl) {
    return fail(ErrorCode::kInvalidArgument, "a join token is good for at most {}: give --ttl=1h",
                format_duration(kMaxJoinTokenTtl));
  }
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
                   .used_by = ""};
  auto digest = crypto::sha256(as_bytes(created.secret));
  MEZ_TRY(auto transaction, database_.begin());
  MEZ_CHECK(transaction.execute(
      "INSERT INTO join_tokens (id, secret_sha256, roles, labels, created_by, created_at, expires_at)"
      " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
      {created.token.id, BytesView(digest), list_to_json(token.roles), labels_to_json(token.labels), token.created_by,
       created.token.created_at, created.token.expires_at}));
  MEZ_CHECK(transaction.commit());
  return created;
}

Result<std::vector<JoinToken>> JoinTokens::list() const {
  MEZ_TRY(auto reader, database_.snapshot());
  static const std::string sql = std::string(kColumns) + "ORDER BY created_at DESC, id";
  MEZ_TRY(auto rows, reader.query(sql));
  std::vector<JoinToken> tokens;
  while (true) {
    MEZ_TRY(bool more, rows.next());
    if (!more) return tokens;
    tokens.push_back(read_row(rows));
  }
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
                              " used = 0 AND expires_at > ?2",
                              {BytesView(digest), now, node_name}));
  static const std::string sql = std::string(kColumns) + "WHERE secret_sha256 = ?1";
  MEZ_TRY(auto rows, transaction.query(sql, {BytesView(digest)}));
  MEZ_TRY(bool found, rows.next());
  if (!found) return fail(ErrorCode::kNotFound, "this join token is not known here: {}", kNext);
  JoinToken known = read_row(rows);
  if (taken == 1) return known;
  if (known.used) {
    return fail(ErrorCode::kFailedPrecondition, "this join token was used already, and works once: {}", kNext);
  }
  return fail(ErrorCode::kUnauthenticated, "this join token expired at {}: {}", to_rfc3339(known.expires_at), kNext);
}

}  // namespace mezite::identity
