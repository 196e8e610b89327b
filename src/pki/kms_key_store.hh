// CA keys in AWS KMS: P-256 keys that never leave it, each known by an alias of its own.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "aws/kms.hh"
#include "pki/key_store.hh"
#include "store/database.hh"

namespace mezite::pki {

struct KmsKeyOptions {
  std::string cluster_name;
  std::map<std::string, std::string> tags;  // of the keys that are made, beside mezite:cluster and mezite:ca
  // Signatures that may wait for KMS at once; more are refused (kResourceExhausted), so that a KMS that hangs leaves
  // workers to everything else.
  unsigned most_at_once = 24;
};

// Makes keys in KMS; opens those in KMS and those that are still in the database, so that moving to KMS is a rotation.
//
// A key is made in two steps, CreateKey and CreateAlias. Between them, its id and the alias meant for it are kept in
// the database ("kms.pending.<ca>"): when the second fails, or the hub ends there, the next attempt goes on with that
// key. Every signature is checked under the public key that was opened: an alias that was moved to another key is
// noticed.
std::unique_ptr<KeyStore> kms_key_store(std::shared_ptr<aws::Kms> kms, store::Database& database,
                                        KmsKeyOptions options);

}  // namespace mezite::pki
