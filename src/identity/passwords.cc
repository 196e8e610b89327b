#include "identity/passwords.hh"

#include <algorithm>
#include <array>
#include <functional>
#include <mutex>
#include <optional>

#include "base/log.hh"
#include "identity/user_rows.hh"
#include "store/settings.hh"

namespace mezite::identity {

namespace {

constexpr std::size_t kStripes = 64;
constexpr int kMaxWaiting = 8;  // attempts that wait for one that is being checked; more are told to come back

struct Account {
  bool exists = false;
  std::optional<std::string> phc;
  std::int64_t failed = 0;
  std::optional<SystemTime> locked_until;
  bool access_locked = false;
};

Result<Account> load_account(store::Session& session, std::string_view user, SystemTime now) {
  Account account;
  {
    MEZ_TRY(auto rows,
            session.query("SELECT password_hash, failed_logins, locked_until FROM users WHERE name = ?1", {user}));
    MEZ_TRY(account.exists, rows.next());
    if (account.exists && !rows.is_null(0)) account.phc = rows.text(0);
    account.failed = rows.integer(1);
    account.locked_until = rows.optional_time(2);
  }
  // Asked for unknown users too: the same work for everybody.
  auto row = load_user(session, user, now);
  if (row) account.access_locked = row->access_locked;
  if (!row && account.exists) return std::unexpected(row.error());
  return account;
}

std::chrono::seconds lock_out(std::int64_t failed) {
  std::int64_t doublings = std::clamp<std::int64_t>(failed - kFreeAttempts, 0, 16);
  return std::min(kFirstLockOut * (std::int64_t{1} << doublings), kLongestLockOut);
}

}  // namespace

// One attempt per user at a time, by stripes of the name's hash.
struct Passwords::State {
  struct Stripe {
    std::mutex mutex;
    std::mutex waiting_mutex;
    int waiting = 0;
  };
  std::array<Stripe, kStripes> stripes;
  std::string decoy;  // verified against when there is nothing else, for the time it takes
};

std::string_view to_text(PasswordOutcome outcome) {
  switch (outcome) {
    case PasswordOutcome::kGood: return "good";
    case PasswordOutcome::kWrong: return "wrong_password";
    case PasswordOutcome::kUnknownUser: return "unknown_user";
    case PasswordOutcome::kNoPassword: return "no_password";
    case PasswordOutcome::kLockedOut: return "locked_out";
    case PasswordOutcome::kUserLocked: return "user_locked";
    case PasswordOutcome::kBusy: break;
  }
  return "busy";
}

Passwords::Passwords(store::Database& database, const Clock& clock, const crypto::Argon2Params& params)
    : database_(database), clock_(clock), params_(params), state_(std::make_unique<State>()) {
  if (auto decoy = crypto::hash_password("decoy", params)) state_->decoy = std::move(*decoy);
}

Passwords::~Passwords() = default;

Result<std::string> Passwords::hash(std::string_view password) const {
  if (password.size() < kMinPasswordBytes || password.size() > kMaxPasswordBytes) {
    return fail(ErrorCode::kInvalidArgument, "a password has {} to {} characters: choose another", kMinPasswordBytes,
                kMaxPasswordBytes);
  }
  return crypto::hash_password(password, params_);
}

Status Passwords::store_hash(store::Session& transaction, std::string_view user, std::string_view phc) {
  MEZ_CHECK(check_user_exists(transaction, user));
  MEZ_CHECK(
      transaction.execute("UPDATE users SET password_hash = ?2, password_changed_at = ?3, failed_logins = 0,"
                          " locked_until = NULL WHERE name = ?1",
                          {user, phc, clock_.now()}));
  MEZ_CHECK(transaction.execute("DELETE FROM sessions WHERE user_name = ?1", {user}));
  MEZ_CHECK(transaction.execute("DELETE FROM invites WHERE user_name = ?1", {user}));
  return {};
}

Status Passwords::set(std::string_view user, std::string_view password) {
  {
    MEZ_TRY(auto reader, database_.snapshot());
    MEZ_CHECK(check_user_exists(reader, user));
  }
  MEZ_TRY(std::string phc, hash(password));
  MEZ_TRY(auto transaction, database_.begin());
  MEZ_CHECK(store_hash(transaction, user, phc));
  return transaction.commit();
}

Result<PasswordCheck> Passwords::verify(std::string_view user, std::string_view password) {
  State::Stripe& stripe = state_->stripes[std::hash<std::string_view>()(user) % kStripes];
  {
    std::lock_guard lock(stripe.waiting_mutex);
    if (stripe.waiting >= kMaxWaiting) return PasswordCheck{.outcome = PasswordOutcome::kBusy};
    ++stripe.waiting;
  }
  std::lock_guard turn(stripe.mutex);
  {
    std::lock_guard lock(stripe.waiting_mutex);
    --stripe.waiting;
  }

  Account account;
  {
    MEZ_TRY(auto reader, database_.snapshot());
    MEZ_TRY(account, load_account(reader, user, clock_.now()));
  }
  std::string_view tried = password.substr(0, kMaxPasswordBytes + 1);  // an over-long one never fits
  auto fits = crypto::verify_password(tried, account.phc ? *account.phc : state_->decoy);
  if (!fits) return wrap(fits.error(), "checking a password");
  SystemTime now = clock_.now();

  PasswordCheck check;
  if (!account.exists) {
    check.outcome = PasswordOutcome::kUnknownUser;
  } else if (account.access_locked) {
    check.outcome = PasswordOutcome::kUserLocked;
  } else if (account.locked_until && *account.locked_until > now) {
    check.outcome = PasswordOutcome::kLockedOut;
  } else if (!account.phc) {
    check.outcome = PasswordOutcome::kNoPassword;
  } else if (*fits && password.size() <= kMaxPasswordBytes) {
    check.outcome = PasswordOutcome::kGood;
  }

  std::optional<std::string> renewed;
  if (check.good() && crypto::password_needs_rehash(*account.phc, params_)) {
    MEZ_TRY(renewed, crypto::hash_password(password, params_));
  }
  MEZ_TRY(auto transaction, database_.begin());
  if (check.good()) {
    MEZ_CHECK(
        transaction.execute("UPDATE users SET failed_logins = 0, locked_until = NULL, last_login_at = ?2,"
                            " password_hash = coalesce(?3, password_hash) WHERE name = ?1",
                            {user, now, renewed}));
  } else if (check.outcome == PasswordOutcome::kWrong) {
    std::int64_t failed = account.failed + 1;
    std::optional<SystemTime> locked_until;
    if (failed >= kFreeAttempts) locked_until = now + lock_out(failed);
    check.locked_out_now = locked_until.has_value();
    MEZ_CHECK(transaction.execute("UPDATE users SET failed_logins = ?2, locked_until = ?3 WHERE name = ?1",
                                  {user, failed, locked_until}));
  } else {
    // A write as the one above, so that the disk's time does not tell who exists.
    MEZ_CHECK(store::put_setting(transaction, "last_refused_login", to_rfc3339(now)));
  }
  MEZ_CHECK(transaction.commit());
  return check;
}

Status Passwords::unlock(std::string_view user) {
  MEZ_TRY(auto transaction, database_.begin());
  MEZ_CHECK(check_user_exists(transaction, user));
  MEZ_CHECK(transaction.execute("UPDATE users SET failed_logins = 0, locked_until = NULL WHERE name = ?1", {user}));
  return transaction.commit();
}

}  // namespace mezite::identity
