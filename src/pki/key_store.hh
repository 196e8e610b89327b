// Where the private keys of the CAs are made and kept: in the database, or in a KMS that signs with them.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/clock.hh"
#include "base/secret.hh"
#include "ssh/keys/crypto_signer.hh"

namespace mezite::pki {

// The key pair of a CA, wherever its private half is. Everything that a CA signs is signed by this. Thread-safe; cheap
// to copy. Signing may block for seconds (a KMS): on a worker thread only, and in no database transaction.
using CaKey = ssh::CryptoSigner;  // SSH: itself; X.509: raw()

// What the database keeps of a CA's key: the key, or its name in the KMS, never both.
struct StoredKey {
  Secret private_key;     // PKCS #8, in clear (the caller seals it); empty: the key is in a KMS
  std::string kms_alias;  // "alias/…"; empty: the key is in the database
};

// A key in a KMS. Aliases can be moved to another key, ids are for ever.
struct KmsName {
  std::string alias;  // "" when the key is in the database
  std::string key_id;
};

struct KeyDeletion {
  std::optional<SystemTime> at;  // nullopt: it is gone already
};

struct NewKey {
  CaKey key;
  StoredKey stored;
};

class KeyStore {
 public:
  virtual ~KeyStore() = default;
  // Makes a key for that CA ("user", "host", "spiffe"). Blocks, with a KMS for seconds: call it before the database
  // transaction that stores it, which must not wait for a network. What was made and never stored does no harm.
  // An error says what is missing (the permission's name) and leaves everything as it was.
  virtual Result<NewKey> make(std::string_view ca_type) = 0;
  // The key that a row tells of. kFailedPrecondition: it is in a KMS and this hub has none; others as the KMS has it.
  virtual Result<CaKey> open(const StoredKey& stored) = 0;
  // The id of the key that open() or make() found under this alias; "" for none.
  virtual std::string key_id(const std::string& /*kms_alias*/) const { return {}; }
  // Has the KMS delete a key that is used no more, in 30 days, during which somebody can still save it. A key that is
  // to be deleted already stays so. kPermissionDenied names what is missing.
  virtual Result<KeyDeletion> schedule_deletion(const KmsName& key);
  // What waits for the KMS ends with the try that is under way, so that the hub can stop.
  virtual void interrupt() {}
  // How long its calls took, in Prometheus' text form; "" when it makes none.
  virtual std::string metrics() const { return {}; }
};

// Ed25519 keys in the database. Knows no KMS.
std::unique_ptr<KeyStore> software_key_store();

}  // namespace mezite::pki
