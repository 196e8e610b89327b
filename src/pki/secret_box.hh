// Secrets at rest: AES-256-GCM under a key that Argon2id makes of ca_key_passphrase.
#pragma once

#include <string_view>

#include "base/bytes.hh"
#include "base/secret.hh"
#include "crypto/argon2.hh"
#include "store/database.hh"

namespace mezite::pki {

// Seals the secret columns of the database. Immutable once open; thread-safe; cheap (the key is derived once, in open).
class SecretBox {
 public:
  // With a passphrase: makes salt and check value on first use, later checks them, and seals what was stored in clear
  // so far. Without one: secrets are stored in clear. Refusals (kFailedPrecondition) say what to do: a passphrase that
  // is not the one the database was made with, or none for a database that has one. Takes tens of milliseconds
  // (Argon2id).
  static Result<SecretBox> open(store::Database& database, const Secret& passphrase,
                                const crypto::Argon2Params& params = {});

  SecretBox(SecretBox&&) = default;
  SecretBox& operator=(SecretBox&&) = default;

  // True when secrets are stored in clear: the hub says so loudly at every start.
  bool needs_plaintext_warning() const { return key_.empty(); }

  // What goes into the column. context names the place ("certificate_authorities/user/1"): a sealed value moved
  // elsewhere does not open.
  Result<Bytes> seal(std::string_view context, BytesView secret) const;
  // kCorrupt when it was not sealed by this box for this context.
  Result<Secret> open_sealed(std::string_view context, BytesView stored) const;

 private:
  explicit SecretBox(Secret key) : key_(std::move(key)) {}
  Secret key_;  // empty: in clear
};

}  // namespace mezite::pki
