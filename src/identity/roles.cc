#include "identity/roles.hh"

#include <algorithm>

#include "base/text.hh"
#include "store/collect.hh"
#include "store/settings.hh"

namespace mezite::identity {

namespace {

constexpr std::string_view kColumns = "SELECT name, description, built_in, document FROM roles ";

StoredRole read_row(const store::Rows& rows) {
  return {.name = rows.text(0), .description = rows.text(1), .built_in = rows.truth(2), .document_json = rows.text(3)};
}

Result<StoredRole> load(store::Session& session, std::string_view name) {
  static const std::string sql = std::string(kColumns) + "WHERE name = ?1";
  MEZ_TRY(auto rows, session.query(sql, {name}));
  MEZ_TRY(bool found, rows.next());
  if (found) return read_row(rows);
  return fail(ErrorCode::kNotFound, "there is no role '{}': mezctl roles ls shows them", printable(name.substr(0, 80)));
}

Result<std::vector<StoredRole>> load_all(store::Session& session) {
  static const std::string sql = std::string(kColumns) + "ORDER BY name";
  MEZ_TRY(auto rows, session.query(sql));
  return store::collect(std::move(rows), read_row);
}

enum class Origin { kBuiltIn, kUser };

Status put(store::Session& transaction, const access::Role& role, Origin origin, SystemTime now) {
  MEZ_CHECK(transaction.execute(
      "INSERT INTO roles (name, description, document, built_in, created_at, updated_at) VALUES (?1, ?2, ?3, ?4, ?5, "
      "?5)"
      " ON CONFLICT (name) DO UPDATE SET description = excluded.description, document = excluded.document,"
      " built_in = excluded.built_in, updated_at = excluded.updated_at",
      {role.name, role.description, access::role_to_json(role), origin == Origin::kBuiltIn, now}));
  MEZ_CHECK(store::bump_revision(transaction));
  return {};
}

bool is_built_in(std::string_view name) {
  return std::ranges::any_of(access::built_in_roles(), [&](const access::Role& role) { return role.name == name; });
}

}  // namespace

Status Roles::seed() {
  MEZ_TRY(auto transaction, database_.begin());
  for (const access::Role& role : access::built_in_roles()) {
    auto known = load(transaction, role.name);
    if (!known && known.error().code != ErrorCode::kNotFound) return std::unexpected(known.error());
    if (known && known->built_in && known->document_json == access::role_to_json(role)) continue;
    MEZ_CHECK(put(transaction, role, Origin::kBuiltIn, clock_.now()));
  }
  return transaction.commit();
}

Result<UpsertedRole> Roles::upsert(std::string_view document) {
  MEZ_TRY(access::Role role, access::parse_role(document));
  if (is_built_in(role.name)) {
    return fail(ErrorCode::kFailedPrecondition, "the role {} is built in and can't be changed: give yours another name",
                role.name);
  }
  MEZ_TRY(auto transaction, database_.begin());
  auto known = load(transaction, role.name);
  if (!known && known.error().code != ErrorCode::kNotFound) return std::unexpected(known.error());
  UpsertedRole upserted{.role = {}, .created = !known};
  if (!known || known->document_json != access::role_to_json(role)) {
    MEZ_CHECK(put(transaction, role, Origin::kUser, clock_.now()));
  }
  MEZ_TRY(upserted.role, load(transaction, role.name));
  MEZ_CHECK(transaction.commit());
  return upserted;
}

Result<std::vector<StoredRole>> Roles::list() const {
  MEZ_TRY(auto reader, database_.snapshot());
  return load_all(reader);
}

Result<StoredRole> Roles::get(std::string_view name) const {
  MEZ_TRY(auto reader, database_.snapshot());
  return load(reader, name);
}

Status Roles::remove(std::string_view name) {
  MEZ_TRY(auto transaction, database_.begin());
  MEZ_TRY(StoredRole role, load(transaction, name));
  if (role.built_in) {
    return fail(ErrorCode::kFailedPrecondition, "the role {} is built in and can't be deleted", role.name);
  }
  std::vector<std::string> users;
  {
    MEZ_TRY(auto rows, transaction.query(
                           "SELECT user_name FROM user_roles WHERE role_name = ?1 ORDER BY user_name LIMIT 6", {name}));
    while (true) {
      MEZ_TRY(bool more, rows.next());
      if (!more) break;
      users.push_back(rows.text(0));
    }
  }
  if (!users.empty()) {
    if (users.size() == 6) users.back() = "…";
    return fail(ErrorCode::kFailedPrecondition, "the role {} is in use by {}: take it from them first", role.name,
                join(users, ", "));
  }
  MEZ_CHECK(transaction.execute("DELETE FROM roles WHERE name = ?1", {name}));
  MEZ_CHECK(store::bump_revision(transaction));
  return transaction.commit();
}

Result<std::shared_ptr<const Roles::Current>> Roles::current() const {
  MEZ_TRY(auto reader, database_.snapshot());
  MEZ_TRY(std::int64_t revision, store::current_revision(reader));
  {
    std::lock_guard lock(mutex_);
    if (cached_ && cached_->revision == revision) return cached_;
  }
  auto fresh = std::make_shared<Current>();
  fresh->revision = revision;
  MEZ_TRY(auto roles, load_all(reader));
  for (StoredRole& role : roles) fresh->documents.push_back(std::move(role.document_json));
  MEZ_TRY(fresh->set, access::RoleSet::parse(fresh->documents));
  std::lock_guard lock(mutex_);
  if (!cached_ || cached_->revision < revision) cached_ = fresh;
  return fresh;
}

}  // namespace mezite::identity
