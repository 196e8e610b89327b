// AWS KMS as far as CA keys need it: P-256 keys that sign digests, known by aliases.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "aws/client.hh"
#include "crypto/hash.hh"
#include "crypto/signing_key.hh"

namespace mezite::aws {

struct KmsOptions {
  std::string region;    // "eu-central-1"
  std::string endpoint;  // in place of https://kms.<region>.amazonaws.com; empty: that one
  CallOptions call;
};

struct KmsKey {
  std::string id;
  std::string arn;
  std::string state;                     // "Enabled", "Disabled", "PendingDeletion", …
  std::optional<SystemTime> deleted_at;  // when it is going to be deleted
};

// Errors are sentences with the next step: kPermissionDenied names the missing permission ("kms:CreateKey"), kNotFound,
// kAlreadyExists, kFailedPrecondition (a key that is disabled or about to be deleted), kResourceExhausted (throttled to
// the end), kTimeout, kUnavailable, kUnauthenticated (credentials). Thread-safe; calls block.
class Kms {
 public:
  static Result<std::unique_ptr<Kms>> open(KmsOptions options, std::shared_ptr<CredentialChain> credentials,
                                           const Clock& clock = system_clock());

  // ECC_NIST_P256, SIGN_VERIFY. Not tried again when no answer came: a second key might be made.
  Result<KmsKey> create_key(std::string_view description, const std::map<std::string, std::string>& tags);
  Status create_alias(std::string_view alias, std::string_view key_id);
  // By id or ARN, never by an alias, which may have been moved. In 30 days, the longest there is, during which the key
  // signs nothing and kms:CancelKeyDeletion saves it. When that is.
  Result<SystemTime> schedule_key_deletion(std::string_view key_id);
  // key: id, ARN or alias ("alias/…").
  Result<KmsKey> describe_key(std::string_view key);
  Result<crypto::VerifyingKey> get_public_key(std::string_view key);
  // ECDSA_SHA_256 over a digest: r ‖ s.
  Result<Bytes> sign(std::string_view key, const crypto::Sha256Digest& digest);

  void interrupt() { client_.interrupt(); }

  const CallLatency& latency() const { return client_.latency(); }

 private:
  Kms(Endpoint endpoint, const KmsOptions& options, std::shared_ptr<CredentialChain> credentials, const Clock& clock);
  Result<std::string> call(std::string_view operation, std::string body, Repeat repeat, std::string_view subject);

  ServiceClient client_;
};

}  // namespace mezite::aws
