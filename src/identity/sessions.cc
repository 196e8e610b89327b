#include "identity/sessions.hh"

#include "base/id.hh"
#include "crypto/hash.hh"
#include "crypto/random.hh"
#include "identity/user_rows.hh"

namespace mezite::identity {

namespace {

constexpr std::size_t kMaxTokenBytes = 128;

std::unexpected<Error> over() {
  return fail(ErrorCode::kUnauthenticated, "the session is over or was never one: log in again");
}

}  // namespace

Result<NewSession> Sessions::create(std::string_view user, std::string_view client_ip, std::chrono::milliseconds ttl) {
  if (ttl <= ttl.zero() || ttl > kSessionTtl) ttl = kSessionTtl;
  NewSession session{.token = crypto::random_token(), .expires_at = clock_.now() + ttl};
  auto digest = crypto::sha256(as_bytes(session.token));
  MEZ_TRY(auto transaction, database_.begin());
  MEZ_CHECK(check_user_exists(transaction, user));
  MEZ_CHECK(
      transaction.execute("INSERT INTO sessions (token_sha256, id, user_name, client_ip, created_at, expires_at)"
                          " VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                          {BytesView(digest), new_uuid(), user, client_ip, clock_.now(), session.expires_at}));
  MEZ_CHECK(transaction.commit());
  return session;
}

Result<Caller> Sessions::who(std::string_view token) const {
  if (token.empty() || token.size() > kMaxTokenBytes) return over();
  auto digest = crypto::sha256(as_bytes(token));
  SystemTime now = clock_.now();
  MEZ_TRY(auto reader, database_.snapshot());
  Caller caller;
  std::string name;
  {
    MEZ_TRY(auto rows, reader.query("SELECT user_name, id, created_at, expires_at FROM sessions WHERE token_sha256 = ?1"
                                    " AND expires_at > ?2",
                                    {BytesView(digest), now}));
    MEZ_TRY(bool found, rows.next());
    if (!found) return over();
    name = rows.text(0);
    caller.session_id = rows.text(1);
    caller.logged_in_at = rows.time(2);
    caller.expires_at = rows.time(3);
  }
  MEZ_TRY(UserRow row, load_user(reader, name, now));
  if (row.access_locked) {
    return fail(ErrorCode::kUnauthenticated, "the user {} is locked: ask an administrator", name);
  }
  caller.user = std::move(row.user);
  return caller;
}

Status Sessions::revoke(std::string_view token) {
  if (token.size() > kMaxTokenBytes) return {};
  auto digest = crypto::sha256(as_bytes(token));
  MEZ_TRY(auto transaction, database_.begin());
  MEZ_CHECK(transaction.execute("DELETE FROM sessions WHERE token_sha256 = ?1", {BytesView(digest)}));
  return transaction.commit();
}

Result<std::int64_t> Sessions::revoke_all(std::string_view user) {
  MEZ_TRY(auto transaction, database_.begin());
  MEZ_TRY(std::int64_t count, transaction.execute("DELETE FROM sessions WHERE user_name = ?1", {user}));
  MEZ_CHECK(transaction.commit());
  return count;
}

Result<std::int64_t> Sessions::sweep() {
  MEZ_TRY(auto transaction, database_.begin());
  MEZ_TRY(std::int64_t count, transaction.execute("DELETE FROM sessions WHERE expires_at <= ?1", {clock_.now()}));
  MEZ_CHECK(transaction.execute("DELETE FROM invites WHERE expires_at <= ?1", {clock_.now()}));
  MEZ_CHECK(transaction.commit());
  return count;
}

}  // namespace mezite::identity
