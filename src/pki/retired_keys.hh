// Keys of CAs that were rotated out and are still in a KMS, until it deletes them.
#pragma once

#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "pki/key_store.hh"
#include "store/database.hh"

namespace mezite::pki {

struct RetiredKey {
  std::string ca_type;  // "user", "host", "spiffe"
  KmsName kms;
  SystemTime retired_at{};
  std::optional<SystemTime> deleted_at;  // when KMS deletes it; nullopt: that has not been arranged
  std::string problem;                   // why it has not, and what to do; "" before the first attempt
};

// In the transaction that deletes the key's row: from then on it is one of these.
Status add_retired_key(store::Session& transaction, const RetiredKey& key);

// Thread-safe; what it is made of outlives it.
class RetiredKeys {
 public:
  RetiredKeys(store::Database& database, KeyStore& keys, const Clock& clock)
      : database_(database), keys_(keys), clock_(clock) {}

  // Oldest first.
  Result<std::vector<RetiredKey>> list() const;
  // Has KMS delete those that it was not asked to delete yet, and forgets those that are gone. Gives the keys of which
  // something new is known: when they go, or another problem than last time. Blocks; an error is one of the database.
  Result<std::vector<RetiredKey>> settle();

 private:
  Result<bool> is_in_use(const KmsName& kms) const;

  store::Database& database_;
  KeyStore& keys_;
  const Clock& clock_;
  std::mutex settling_;
};

}  // namespace mezite::pki
