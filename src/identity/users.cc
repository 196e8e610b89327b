#include "identity/users.hh"

#include <algorithm>

#include "base/text.hh"
#include "identity/columns.hh"
#include "identity/names.hh"
#include "identity/user_rows.hh"

namespace mezite::identity {

namespace {

constexpr std::size_t kMaxRoles = 64;
constexpr std::size_t kMaxTraits = 64;
constexpr std::size_t kMaxTraitValues = 256;
constexpr std::size_t kMaxTraitBytes = 1024;

constexpr std::string_view kUserColumns =
    "SELECT name, traits, password_hash IS NOT NULL, locked_until, created_at, last_login_at, EXISTS (SELECT 1 FROM "
    "locks"
    " WHERE kind = 'user' AND locks.name = users.name AND (expires_at IS NULL OR expires_at > ?1)) FROM users ";

std::unexpected<Error> no_user(std::string_view name) {
  return fail(ErrorCode::kNotFound, "there is no user '{}': mezctl users ls shows them", printable(name.substr(0, 80)));
}

UserRow read_row(const store::Rows& rows, SystemTime now) {
  UserRow row;
  row.user.name = rows.text(0);
  row.user.traits = traits_from_json(rows.text(1));
  row.user.has_password = rows.truth(2);
  row.user.locked_until = rows.optional_time(3);
  if (row.user.locked_until && *row.user.locked_until <= now) row.user.locked_until.reset();
  row.user.created_at = rows.time(4);
  row.user.last_login_at = rows.optional_time(5);
  row.access_locked = rows.truth(6);
  row.user.locked = row.access_locked || row.user.locked_until.has_value();
  return row;
}

Status load_roles(store::Session& session, User& user) {
  MEZ_TRY(auto rows,
          session.query("SELECT role_name FROM user_roles WHERE user_name = ?1 ORDER BY role_name", {user.name}));
  while (true) {
    MEZ_TRY(bool more, rows.next());
    if (!more) return {};
    user.roles.push_back(rows.text(0));
  }
}

bool is_clean(std::string_view text) {
  return is_valid_utf8(text) && text.size() <= kMaxTraitBytes && printable(text) == text;
}

Status check_traits(const access::Traits& traits) {
  if (traits.size() > kMaxTraits) return fail(ErrorCode::kInvalidArgument, "over {} traits", kMaxTraits);
  for (const auto& [name, values] : traits) {
    if (name.empty() || !is_clean(name) || values.size() > kMaxTraitValues || !std::ranges::all_of(values, is_clean)) {
      return fail(ErrorCode::kInvalidArgument,
                  "trait '{}': names and values are printable text of at most {} bytes, at most {} values a trait",
                  printable(name.substr(0, 80)), kMaxTraitBytes, kMaxTraitValues);
    }
  }
  return {};
}

Status write_roles(store::Session& transaction, std::string_view user, const std::vector<std::string>& roles) {
  if (roles.empty()) return fail(ErrorCode::kInvalidArgument, "a user needs at least one role: give --roles=access");
  if (roles.size() > kMaxRoles) return fail(ErrorCode::kInvalidArgument, "over {} roles", kMaxRoles);
  MEZ_CHECK(transaction.execute("DELETE FROM user_roles WHERE user_name = ?1", {user}));
  for (const std::string& role : roles) {
    MEZ_TRY(std::int64_t known, transaction.query_integer("SELECT count(*) FROM roles WHERE name = ?1", {role}));
    if (known == 0) {
      return fail(ErrorCode::kNotFound, "there is no role '{}': mezctl roles ls shows them",
                  printable(role.substr(0, 80)));
    }
    MEZ_CHECK(transaction.execute(
        "INSERT INTO user_roles (user_name, role_name) VALUES (?1, ?2) ON CONFLICT DO NOTHING", {user, role}));
  }
  return {};
}

// Somebody must be able to undo whatever is done next.
Status check_admin_is_left(store::Session& transaction, std::string_view without) {
  MEZ_TRY(std::int64_t is_admin,
          transaction.query_integer("SELECT count(*) FROM user_roles WHERE role_name = 'admin' AND user_name = ?1",
                                    {without}));
  if (is_admin == 0) return {};
  MEZ_TRY(std::int64_t others,
          transaction.query_integer("SELECT count(*) FROM user_roles WHERE role_name = 'admin' AND user_name <> ?1",
                                    {without}));
  if (others > 0) return {};
  return fail(ErrorCode::kFailedPrecondition, "{} is the last user with the role admin: give it to another user first",
              without);
}

}  // namespace

Result<UserRow> load_user(store::Session& session, std::string_view name, SystemTime now) {
  UserRow row;
  {
    static const std::string sql = std::string(kUserColumns) + "WHERE name = ?2";
    MEZ_TRY(auto rows, session.query(sql, {now, name}));
    MEZ_TRY(bool found, rows.next());
    if (!found) return no_user(name);
    row = read_row(rows, now);
  }
  MEZ_CHECK(load_roles(session, row.user));
  return row;
}

Status check_user_exists(store::Session& session, std::string_view name) {
  MEZ_TRY(std::int64_t count, session.query_integer("SELECT count(*) FROM users WHERE name = ?1", {name}));
  if (count == 0) return no_user(name);
  return {};
}

Result<User> Users::create(const NewUser& user) {
  MEZ_CHECK(check_user_name(user.name));
  MEZ_CHECK(check_traits(user.traits));
  MEZ_TRY(auto transaction, database_.begin());
  auto inserted = transaction.execute("INSERT INTO users (name, traits, created_at) VALUES (?1, ?2, ?3)",
                                      {user.name, traits_to_json(user.traits), clock_.now()});
  if (!inserted) {
    if (inserted.error().code != ErrorCode::kAlreadyExists) return std::unexpected(inserted.error());
    return fail(ErrorCode::kAlreadyExists, "there is a user '{}' already (upper and lower case count as the same)",
                user.name);
  }
  MEZ_CHECK(write_roles(transaction, user.name, user.roles));
  MEZ_TRY(UserRow row, load_user(transaction, user.name, clock_.now()));
  MEZ_CHECK(transaction.commit());
  return std::move(row.user);
}

Result<std::vector<User>> Users::list() const {
  MEZ_TRY(auto reader, database_.snapshot());
  std::vector<User> users;
  SystemTime now = clock_.now();
  static const std::string sql = std::string(kUserColumns) + "ORDER BY name";
  MEZ_TRY(auto rows, reader.query(sql, {now}));
  while (true) {
    MEZ_TRY(bool more, rows.next());
    if (!more) return users;
    users.push_back(read_row(rows, now).user);
    MEZ_CHECK(load_roles(reader, users.back()));
  }
}

Result<User> Users::get(std::string_view name) const {
  MEZ_TRY(auto reader, database_.snapshot());
  MEZ_TRY(UserRow row, load_user(reader, name, clock_.now()));
  return std::move(row.user);
}

Result<User> Users::update(std::string_view name, const UserChange& change) {
  MEZ_TRY(auto transaction, database_.begin());
  MEZ_CHECK(check_user_exists(transaction, name));
  if (change.traits) {
    MEZ_CHECK(check_traits(*change.traits));
    MEZ_CHECK(
        transaction.execute("UPDATE users SET traits = ?2 WHERE name = ?1", {name, traits_to_json(*change.traits)}));
  }
  if (change.roles) {
    if (std::ranges::find(*change.roles, "admin") == change.roles->end()) {
      MEZ_CHECK(check_admin_is_left(transaction, name));
    }
    MEZ_CHECK(write_roles(transaction, name, *change.roles));
  }
  MEZ_TRY(UserRow row, load_user(transaction, name, clock_.now()));
  MEZ_CHECK(transaction.commit());
  return std::move(row.user);
}

Status Users::remove(std::string_view name) {
  MEZ_TRY(auto transaction, database_.begin());
  MEZ_CHECK(check_user_exists(transaction, name));
  MEZ_CHECK(check_admin_is_left(transaction, name));
  MEZ_CHECK(transaction.execute("DELETE FROM users WHERE name = ?1", {name}));
  return transaction.commit();
}

Status Users::record_login(std::string_view name) {
  MEZ_TRY(auto transaction, database_.begin());
  MEZ_CHECK(transaction.execute("UPDATE users SET last_login_at = ?2 WHERE name = ?1", {name, clock_.now()}));
  return transaction.commit();
}

Result<bool> Users::any() const {
  MEZ_TRY(auto reader, database_.snapshot());
  MEZ_TRY(std::int64_t found, reader.query_integer("SELECT EXISTS (SELECT 1 FROM users)"));
  return found != 0;
}

}  // namespace mezite::identity
