// The chain: each event's HMAC covers the one before it, so that no row can be changed, taken out, put in or moved
// without the key.
//
//   hmac = HMAC-SHA-256(key, prev_hmac ‖ canonical JSON of the event)     prev_hmac of the first: 32 zero bytes
//
// Without a key it is plain SHA-256 of the same bytes, key id "none": that shows accidents, not intent.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.hh"
#include "base/secret.hh"
#include "crypto/hash.hh"
#include "crypto/signing_key.hh"

namespace mezite::audit {

using ChainHash = crypto::Sha256Digest;

inline constexpr std::string_view kNoKeyId = "none";

// The first 8 hexadecimal digits of the key's SHA-256; "none" for an empty key.
std::string chain_key_id(const Secret& key);

// The current key and those before it, which old events are verified with. Immutable; thread-safe.
class ChainKeys {
 public:
  // current may be empty (audit.hmac_key unset).
  ChainKeys(Secret current, std::vector<Secret> previous);

  bool keyed() const { return !keys_.front().key.empty(); }
  const std::string& current_id() const { return keys_.front().id; }
  bool knows(std::string_view id) const;  // "none" is always known

  // Under the key of that id; all zero for an unknown id.
  ChainHash link(std::string_view key_id, const ChainHash& previous, std::string_view json) const;
  // The checkpoint's seal: over the number of the last event and its hash.
  ChainHash seal(std::string_view key_id, std::int64_t sequence, const ChainHash& last) const;
  // Ed25519, with the key that is made from the HMAC key of that id: signing needs the HMAC key, checking does not.
  // kNotFound for "none" and for an id that is not known.
  Result<crypto::SigningKey> signing_key(std::string_view key_id) const;

 private:
  struct Key {
    std::string id;
    Secret key;
  };
  ChainHash mac(std::string_view key_id, BytesView first, BytesView second) const;
  std::vector<Key> keys_;
};

}  // namespace mezite::audit
