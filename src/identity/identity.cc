#include "identity/identity.hh"

#include "store/settings.hh"

namespace mezite::identity {

Identity::Identity(store::Database& db, const Clock& clock, const crypto::Argon2Params& params)
    : database(db),
      users(db, clock),
      roles(db, clock),
      passwords(db, clock, params),
      invites(db, clock, passwords),
      sessions(db, clock),
      join_tokens(db, clock),
      nodes(db, clock, join_tokens),
      locks(db, clock),
      workloads(db, clock) {}

Result<std::unique_ptr<Identity>> Identity::open(store::Database& database, const Clock& clock,
                                                 const crypto::Argon2Params& params) {
  auto identity = std::make_unique<Identity>(database, clock, params);
  MEZ_CHECK(identity->roles.seed());
  return identity;
}

Result<std::int64_t> Identity::revision() const {
  MEZ_TRY(auto reader, database.snapshot());
  return store::current_revision(reader);
}

Status Identity::sweep() {
  MEZ_CHECK(sessions.sweep());
  MEZ_CHECK(join_tokens.sweep());
  return {};
}

}  // namespace mezite::identity
