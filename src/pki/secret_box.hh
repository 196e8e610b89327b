// Secrets at rest: AES-256-GCM under a key that Argon2id makes of ca_key_passphrase.
#pragma once

#include <functional>
#include <memory>
#include <string_view>

#include "base/bytes.hh"
#include "base/secret.hh"
#include "crypto/argon2.hh"
#include "store/database.hh"

namespace mezite::pki {

// Seals the secret columns of the database. Thread-safe; cheap (the key is derived once, in open, and lies in locked
// memory). Every column that holds what it sealed is in the list in secret_box.cc, so that it is sealed anew when the
// passphrase changes.
class SecretBox {
 public:
  // With a passphrase: makes salt and check value on first use, later checks them, and seals what was stored in clear
  // so far. Without one: secrets are stored in clear. Refusals (kFailedPrecondition) say what to do: a passphrase that
  // is not the one the database was made with, or none for a database that has one. Takes tens of milliseconds
  // (Argon2id).
  static Result<SecretBox> open(store::Database& database, const Secret& passphrase,
                                const crypto::Argon2Params& params = {});

  SecretBox(SecretBox&&) noexcept;
  SecretBox& operator=(SecretBox&&) noexcept;
  ~SecretBox();

  // Puts everything under another passphrase, with a new salt, in one transaction: it holds for the database and for
  // this box, or for neither. `also` writes what goes with it, in the same transaction. kPermissionDenied: the old one
  // is not right; kFailedPrecondition: there is none yet (the next start with one seals everything); kInvalidArgument:
  // the new one is short, or the old one again. Takes some hundred milliseconds.
  Status change_passphrase(store::Database& database, const Secret& old_passphrase, const Secret& new_passphrase,
                           const std::function<Status(store::Session&)>& also, const crypto::Argon2Params& params = {});
  static constexpr std::size_t kLeastPassphraseBytes = 12;  // of a new one

  // True when secrets are stored in clear: the hub says so loudly at every start.
  bool needs_plaintext_warning() const;

  // What goes into the column; to be called in the transaction that puts it there, as a change of the passphrase may
  // come between otherwise. context names the place ("certificate_authorities/user/1"): a sealed value moved
  // elsewhere does not open.
  Result<Bytes> seal(std::string_view context, BytesView secret) const;
  // kCorrupt when it was not sealed by this box for this context.
  Result<Secret> open_sealed(std::string_view context, BytesView stored) const;

 private:
  struct State;
  explicit SecretBox(BytesView key);
  std::unique_ptr<State> state_;
};

}  // namespace mezite::pki
