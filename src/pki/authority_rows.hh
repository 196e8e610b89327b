// The CAs as rows of the database. Inside src/pki/ only.
#pragma once

#include <string>
#include <vector>

#include "pki/key_store.hh"
#include "pki/rotation.hh"
#include "pki/secret_box.hh"

namespace mezite::pki {

struct AuthorityRow {
  std::string type;  // user, host, spiffe
  std::int64_t generation = 1;
  std::string standing;  // active, standby
  StoredKey key;
  std::string ssh_public_key;
  std::string x509_pem;  // "" for the user CA
  SystemTime created_at{};
  SystemTime expires_at{};
};

struct RotationRow {
  std::string type;
  Rotation rotation;
  std::int64_t revision = 0;
  std::string note;  // what the caller of the last step wants to find again
};

Result<std::vector<AuthorityRow>> load_authorities(store::Session& session, const SecretBox& box);
// The setting that holds a key which is made in KMS and not stored yet.
std::string pending_kms_key_setting(std::string_view ca_type);
// With the next free generation of its type, whatever the row says; gives it. From here on a key of a KMS is no longer
// pending.
Result<std::int64_t> insert_authority(store::Session& transaction, const SecretBox& box, const AuthorityRow& row);
Result<std::vector<RotationRow>> load_rotations(store::Session& session);
Status put_rotation(store::Session& transaction, const RotationRow& row);
Status swap_standings(store::Session& transaction, std::string_view type, std::int64_t active, std::int64_t standby);
Status delete_standby(store::Session& transaction, std::string_view type);

}  // namespace mezite::pki
