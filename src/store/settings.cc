#include "store/settings.hh"

namespace mezite::store {

Result<std::optional<std::string>> get_setting(Session& session, std::string_view name) {
  MEZ_TRY(Rows rows, session.query("SELECT value FROM settings WHERE name = ?1", {name}));
  MEZ_TRY(bool found, rows.next());
  if (!found) return std::nullopt;
  return rows.text(0);
}

Status put_setting(Session& session, std::string_view name, std::string_view value) {
  MEZ_CHECK(session.execute(
      "INSERT INTO settings (name, value) VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
      {name, value}));
  return {};
}

Result<std::int64_t> bump_revision(Session& transaction) {
  MEZ_CHECK(transaction.execute("UPDATE revision SET number = number + 1"));
  return current_revision(transaction);
}

Result<std::int64_t> current_revision(Session& session) { return session.query_integer("SELECT number FROM revision"); }

}  // namespace mezite::store
