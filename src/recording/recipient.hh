// Who can read an encrypted recording: X25519 public keys, the private key in an identity file, and the data key of a
// recording sealed to each (docs/recording-format.md).
#pragma once

#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.hh"
#include "crypto/x25519.hh"

namespace mezite::recording {

inline constexpr std::size_t kMaxRecipients = 8;

struct Recipient {
  crypto::X25519PublicKey key{};
  bool operator==(const Recipient&) const = default;
};
// "x25519:" and 43 characters of base64url.
std::string to_text(const Recipient& recipient);
Result<Recipient> parse_recipient(std::string_view text);

// A private key. Moves only.
class Identity {
 public:
  static Identity generate();
  // kInvalidArgument when it has not 32 bytes.
  static Result<Identity> of(Secret private_key);
  // The first line that is neither empty nor a comment (#). Never echoes the text.
  static Result<Identity> parse(std::string_view text);
  // Refuses a file over 64 KiB.
  static Result<Identity> load(const std::filesystem::path& path);

  // What parse() reads, with comments for people.
  Secret file_text(SystemTime made_at) const;
  const Recipient& recipient() const { return recipient_; }
  const Secret& key() const { return key_; }

 private:
  Identity(Secret key, Recipient recipient) : key_(std::move(key)), recipient_(recipient) {}
  Secret key_;
  Recipient recipient_;
};

// A recording's data key for one recipient, as it stands in the header.
struct SealedKey {
  Recipient recipient;
  crypto::X25519PublicKey ephemeral{};
  Bytes sealed;  // nonce, 32 bytes, tag
  bool operator==(const SealedKey&) const = default;
};

// The session id is bound to it: a sealed key put into another recording does not open.
Result<std::vector<SealedKey>> seal_key(const Secret& data_key, std::span<const Recipient> recipients,
                                        std::string_view session_id);
// kPermissionDenied, naming whose keys would do, when it is sealed to others; kCorrupt when it was altered.
Result<Secret> open_key(std::span<const SealedKey> keys, const Identity& identity, std::string_view session_id);

// The key of a recording's chain for the hub, in the same way and bound to the session in the same way; neither opens
// as the other.
Result<SealedKey> seal_chain_key(const Secret& chain_key, const Recipient& hub, std::string_view session_id);
// kPermissionDenied when it is sealed to another hub's key; kCorrupt when it was altered.
Result<Secret> open_chain_key(const SealedKey& key, const Identity& hub, std::string_view session_id);

// "x25519:…, x25519:…", for messages.
std::string names_of(std::span<const SealedKey> keys);

}  // namespace mezite::recording
