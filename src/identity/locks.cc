#include "identity/locks.hh"

#include <algorithm>
#include <array>

#include "base/id.hh"
#include "base/text.hh"
#include "store/collect.hh"
#include "store/settings.hh"

namespace mezite::identity {

namespace {

constexpr std::array<std::string_view, 4> kKinds{"user", "role", "node", "login"};

}  // namespace

Result<Lock> Locks::create(const NewLock& lock) {
  if (std::ranges::find(kKinds, lock.kind) == kKinds.end()) {
    return fail(ErrorCode::kInvalidArgument, "'{}' can't be locked: take user, role, node or login",
                printable(lock.kind.substr(0, 80)));
  }
  auto is_plain = [](std::string_view text) {
    return text.size() <= 1024 && is_valid_utf8(text) && printable(text) == text;
  };
  if (lock.name.empty() || !is_plain(lock.name) || !is_plain(lock.message)) {
    return fail(ErrorCode::kInvalidArgument, "a lock needs the name of what it locks, and printable text");
  }
  Lock made{.id = new_uuid(),
            .kind = lock.kind,
            .name = lock.name,
            .message = lock.message,
            .created_by = lock.created_by,
            .created_at = clock_.now(),
            .expires_at = lock.expires_at};
  MEZ_TRY(auto transaction, database_.begin());
  MEZ_CHECK(transaction.execute(
      "INSERT INTO locks (id, kind, name, message, created_by, created_at, expires_at)"
      " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
      {made.id, made.kind, made.name, made.message, made.created_by, made.created_at, made.expires_at}));
  MEZ_CHECK(store::bump_revision(transaction));
  MEZ_CHECK(transaction.commit());
  return made;
}

Result<std::vector<Lock>> Locks::active() const {
  MEZ_TRY(auto reader, database_.snapshot());
  MEZ_TRY(auto rows, reader.query("SELECT id, kind, name, message, created_by, created_at, expires_at FROM locks WHERE"
                                  " expires_at IS NULL OR expires_at > ?1 ORDER BY created_at, id",
                                  {clock_.now()}));
  return store::collect(std::move(rows), [](const store::Rows& row) {
    return Lock{.id = row.text(0),
                .kind = row.text(1),
                .name = row.text(2),
                .message = row.text(3),
                .created_by = row.text(4),
                .created_at = row.time(5),
                .expires_at = row.optional_time(6)};
  });
}

Status Locks::remove(std::string_view id) {
  MEZ_TRY(auto transaction, database_.begin());
  MEZ_TRY(std::int64_t removed, transaction.execute("DELETE FROM locks WHERE id = ?1", {id}));
  if (removed == 0) {
    return fail(ErrorCode::kNotFound, "there is no lock '{}': mezctl locks ls shows their ids",
                printable(id.substr(0, 80)));
  }
  MEZ_CHECK(store::bump_revision(transaction));
  return transaction.commit();
}

}  // namespace mezite::identity
