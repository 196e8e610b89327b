// Passwords: Argon2id hashes, and a lock-out that grows with every further wrong guess.
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <string_view>

#include "base/clock.hh"
#include "crypto/argon2.hh"
#include "store/database.hh"

namespace mezite::identity {

inline constexpr std::size_t kMinPasswordBytes = 8;
inline constexpr std::size_t kMaxPasswordBytes = 1024;

// After kFreeAttempts wrong passwords in a row, each further one locks for twice as long as the one before.
inline constexpr int kFreeAttempts = 5;
inline constexpr std::chrono::seconds kFirstLockOut{30};
inline constexpr std::chrono::seconds kLongestLockOut{15 * 60};

enum class PasswordOutcome { kGood, kWrong, kUnknownUser, kNoPassword, kLockedOut, kUserLocked, kBusy };
std::string_view to_text(PasswordOutcome outcome);  // "wrong_password", …; for the audit log, never for who asks

struct PasswordCheck {
  PasswordOutcome outcome = PasswordOutcome::kWrong;
  bool locked_out_now = false;  // this attempt was the one that locked: user.locked_out
  bool good() const { return outcome == PasswordOutcome::kGood; }
};

// What who asks is told, whatever was wrong.
inline constexpr std::string_view kLoginRefused =
    "wrong user name or password, or too many wrong ones: check them, wait a few minutes, or ask an administrator";

class Passwords {
 public:
  Passwords(store::Database& database, const Clock& clock,
            const crypto::Argon2Params& params = crypto::kPasswordArgon2);
  ~Passwords();

  // Sets it, ends the lock-out and all sessions and invites of the user. kInvalidArgument for one that is too short.
  Status set(std::string_view user, std::string_view password);

  // Unknown users, users without a password and locked ones cost as much time as a wrong password. Good: counters are
  // cleared and last_login_at is set. One attempt per user at a time: guesses in parallel count like guesses in a row.
  // Blocks for the time of one Argon2id or several: use a worker.
  Result<PasswordCheck> verify(std::string_view user, std::string_view password);

  // Ends the lock-out.
  Status unlock(std::string_view user);

  // In a transaction of somebody else (Invites). `phc` comes from hash().
  Result<std::string> hash(std::string_view password) const;
  Status store_hash(store::Session& transaction, std::string_view user, std::string_view phc);

 private:
  struct State;
  store::Database& database_;
  const Clock& clock_;
  crypto::Argon2Params params_;
  std::unique_ptr<State> state_;
};

}  // namespace mezite::identity
