#include "auth/recording_key.hh"

#include "store/settings.hh"

namespace mezite::auth {
namespace {

constexpr std::string_view kContext = "recording_keys/1";

Status make_missing(store::Database& database, const pki::SecretBox& box, const Clock& clock) {
  MEZ_TRY(auto transaction, database.begin());
  MEZ_TRY(const std::int64_t there, transaction.query_integer("SELECT count(*) FROM recording_keys"));
  if (there > 0) return {};
  MEZ_TRY(const Bytes sealed, box.seal(kContext, recording::Identity::generate().key().view()));
  MEZ_CHECK(transaction.execute("INSERT INTO recording_keys (id, private_key, created_at) VALUES (1, ?1, ?2)",
                                {sealed, clock.now()}));
  // Agents that know of another key, or of none, must hear of it.
  MEZ_CHECK(store::bump_revision(transaction));
  return transaction.commit();
}

}  // namespace

Result<recording::Identity> open_recording_key(store::Database& database, const pki::SecretBox& box,
                                               const Clock& clock) {
  MEZ_CHECK(make_missing(database, box, clock));
  MEZ_TRY(auto snapshot, database.snapshot());
  MEZ_TRY(auto row, snapshot.query_row("SELECT private_key FROM recording_keys"));
  MEZ_TRY(Secret key, box.open_sealed(kContext, row.bytes(0)));
  return recording::Identity::of(std::move(key));
}

}  // namespace mezite::auth
