#include "store/migrate.hh"

#include <fmt/format.h>

#include "base/log.hh"

namespace mezite::store {

namespace {

// Session's constructor is for those that own a connection.
class Direct final : public Session {
 public:
  explicit Direct(Connection* connection) : Session(connection) {}
};

Status run_step(Connection& connection, const Migration& step, std::string_view program_version) {
  MEZ_CHECK(connection.begin("BEGIN IMMEDIATE"));
  Direct session(&connection);
  Status ran = connection.run(std::string(step.sql));
  if (ran) {
    auto noted = session.execute(
        "INSERT INTO schema_migrations (version, name, program_version, applied_at) VALUES (?1, ?2, ?3, ?4)",
        {step.version, step.name, program_version, system_clock().now()});
    if (!noted) ran = std::unexpected(noted.error());
  }
  if (!ran) {
    connection.rollback();
    return wrap(ran.error(), fmt::format("migration {} ({}) of the database", step.version, step.name));
  }
  return connection.commit();
}

}  // namespace

Status migrate(Connection& connection, std::span<const Migration> migrations, std::string_view program_version,
               const std::filesystem::path& path) {
  MEZ_CHECK(
      connection.run("CREATE TABLE IF NOT EXISTS schema_migrations (version INTEGER PRIMARY KEY, name TEXT NOT NULL,"
                     " program_version TEXT NOT NULL, applied_at INTEGER NOT NULL) STRICT"));
  Direct session(&connection);
  std::int64_t seen = 0;
  std::string seen_program;
  {
    MEZ_TRY(Rows rows,
            session.query("SELECT version, program_version FROM schema_migrations ORDER BY version DESC LIMIT 1"));
    MEZ_TRY(bool any, rows.next());
    if (any) {
      seen = rows.integer(0);
      seen_program = rows.text(1);
    }
  }
  std::int64_t newest = migrations.empty() ? 0 : migrations.back().version;
  if (seen > newest) {
    return fail(
        ErrorCode::kFailedPrecondition,
        "the database {} has schema version {}, made by mezhub {}; this mezhub {} knows versions up to {}: start "
        "mezhub {} or a newer one",
        path.string(), seen, seen_program, program_version, newest, seen_program);
  }
  for (const Migration& step : migrations) {
    if (step.version <= seen) continue;
    MEZ_CHECK(run_step(connection, step, program_version));
    log::debug("database migrated", {{"version", step.version}, {"name", step.name}});
  }
  if (seen != 0 && newest > seen) {
    log::info("database migrated", {{"from", seen}, {"to", newest}, {"path", path.string()}});
  }
  return {};
}

}  // namespace mezite::store
