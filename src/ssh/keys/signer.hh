// Something that signs as an SSH key: a private key in memory, or one that stays in a KMS or an ssh-agent.
#pragma once

#include <string_view>

#include "base/bytes.hh"
#include "base/result.hh"
#include "ssh/keys/public_key.hh"

namespace mezite::ssh {

class Signer {
 public:
  virtual ~Signer() = default;
  virtual const PublicKey& public_key() const = 0;
  // The SSH signature blob. algorithm: one of public_key().signature_algorithms(). Thread-safe; may block when the key
  // is elsewhere.
  virtual Result<Bytes> sign(std::string_view algorithm, BytesView message) const = 0;
};

}  // namespace mezite::ssh
