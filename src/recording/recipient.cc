#include "recording/recipient.hh"

#include <algorithm>
#include <optional>

#include "base/file.hh"
#include "base/text.hh"
#include "crypto/aead.hh"
#include "crypto/random.hh"

namespace mezite::recording {
namespace {

constexpr std::string_view kPublicPrefix = "x25519:";
constexpr std::string_view kPrivatePrefix = "mezite-recording-identity:";
constexpr std::string_view kDataInfo = "mezite recording key 1";
constexpr std::string_view kChainInfo = "mezite recording chain key 1";
constexpr std::size_t kMaxFileBytes = 64 * 1024;

// RFC 9180 binds both public keys to the derived key in the same way.
Secret wrapping_key(const Secret& shared, const crypto::X25519PublicKey& ephemeral, const Recipient& recipient,
                    std::string_view info) {
  Bytes salt(ephemeral.begin(), ephemeral.end());
  salt.insert(salt.end(), recipient.key.begin(), recipient.key.end());
  return crypto::hkdf_sha256(shared.view(), salt, as_bytes(info));
}

Result<SealedKey> seal(const Secret& key, const Recipient& recipient, std::string_view session_id,
                       std::string_view info) {
  const Secret ephemeral = crypto::x25519_generate();
  SealedKey sealed{.recipient = recipient};
  MEZ_TRY(sealed.ephemeral, crypto::x25519_public(ephemeral));
  MEZ_TRY(const Secret shared, crypto::x25519_agree(ephemeral, recipient.key));
  MEZ_TRY(sealed.sealed, crypto::aead_seal(wrapping_key(shared, sealed.ephemeral, recipient, info).view(), key.view(),
                                           as_bytes(session_id)));
  return sealed;
}

// None: it was altered.
std::optional<Secret> open(const SealedKey& key, const Identity& identity, std::string_view session_id,
                           std::string_view info) {
  const auto shared = crypto::x25519_agree(identity.key(), key.ephemeral);
  if (!shared) return std::nullopt;
  auto opened = crypto::aead_open(wrapping_key(*shared, key.ephemeral, key.recipient, info).view(), key.sealed,
                                  as_bytes(session_id));
  if (!opened || opened->size() != crypto::kAeadKeySize) return std::nullopt;
  return std::move(*opened);
}

}  // namespace

std::string to_text(const Recipient& recipient) { return std::string(kPublicPrefix) + to_base64url(recipient.key); }

Result<Recipient> parse_recipient(std::string_view text) {
  const auto refuse = [&] {
    return fail(ErrorCode::kInvalidArgument,
                "'{}' is not a recording recipient (x25519:…); `mezctl recordings keygen` makes one",
                printable(text.substr(0, 80)));
  };
  if (!text.starts_with(kPublicPrefix) || text.size() > 80) return refuse();
  const auto bytes = from_base64url(text.substr(kPublicPrefix.size()));
  Recipient recipient;
  if (!bytes || bytes->size() != recipient.key.size()) return refuse();
  std::ranges::copy(*bytes, recipient.key.begin());
  // A key of low order would make every data key known to all.
  const Secret probe = crypto::x25519_generate();
  if (!crypto::x25519_agree(probe, recipient.key)) return refuse();
  return recipient;
}

Identity Identity::generate() {
  Secret key = crypto::x25519_generate();
  const Recipient recipient{crypto::x25519_public(key).value()};
  return {std::move(key), recipient};
}

Result<Identity> Identity::of(Secret private_key) {
  MEZ_TRY(const crypto::X25519PublicKey public_key, crypto::x25519_public(private_key));
  return Identity(std::move(private_key), {public_key});
}

Result<Identity> Identity::parse(std::string_view text) {
  for (std::string_view line : split(text, '\n')) {
    line = trim(line);
    if (line.empty() || line.front() == '#') continue;
    if (!line.starts_with(kPrivatePrefix) || line.size() > 128) break;
    auto bytes = from_base64url(line.substr(kPrivatePrefix.size()));
    if (!bytes || bytes->size() != crypto::kX25519KeyBytes) break;
    Secret key{BytesView(*bytes)};
    ::explicit_bzero(bytes->data(), bytes->size());
    return of(std::move(key));
  }
  return fail(ErrorCode::kInvalidArgument, "this is no recording identity; `mezctl recordings keygen` makes one");
}

Result<Identity> Identity::load(const std::filesystem::path& path) {
  auto content = read_file(path, kMaxFileBytes);
  if (!content) return std::unexpected(content.error());
  auto identity = parse(as_text(*content));
  ::explicit_bzero(content->data(), content->size());
  if (!identity) return fail(identity.error().code, "{}: {}", printable(path.native()), identity.error().message);
  return identity;
}

Secret Identity::file_text(SystemTime made_at) const {
  Secret text(
      std::string_view(fmt::format("# A recording identity of Mezite, made {}. Keep it secret and keep it: without "
                                   "it nobody can read the recordings.\n# Its public key: {}\n{}",
                                   to_rfc3339(made_at), to_text(recipient_), kPrivatePrefix)));
  std::string encoded = to_base64url(key_.view());
  text.append(as_bytes(encoded));
  wipe(encoded);
  text.append(as_bytes(std::string_view("\n")));
  return text;
}

Result<std::vector<SealedKey>> seal_key(const Secret& data_key, std::span<const Recipient> recipients,
                                        std::string_view session_id) {
  if (recipients.size() > kMaxRecipients) {
    return fail(ErrorCode::kInvalidArgument, "a recording has at most {} recipients", kMaxRecipients);
  }
  std::vector<SealedKey> keys;
  for (const Recipient& recipient : recipients) {
    MEZ_TRY(SealedKey key, seal(data_key, recipient, session_id, kDataInfo));
    keys.push_back(std::move(key));
  }
  return keys;
}

Result<Secret> open_key(std::span<const SealedKey> keys, const Identity& identity, std::string_view session_id) {
  const auto found =
      std::ranges::find_if(keys, [&](const SealedKey& key) { return key.recipient == identity.recipient(); });
  if (found == keys.end()) {
    return fail(ErrorCode::kPermissionDenied, "the recording is encrypted to {}; the identity given is that of {}",
                names_of(keys), to_text(identity.recipient()));
  }
  auto key = open(*found, identity, session_id, kDataInfo);
  if (!key) return fail(ErrorCode::kCorrupt, "the recording was altered: the key in its header does not open");
  return std::move(*key);
}

Result<SealedKey> seal_chain_key(const Secret& chain_key, const Recipient& hub, std::string_view session_id) {
  return seal(chain_key, hub, session_id, kChainInfo);
}

Result<Secret> open_chain_key(const SealedKey& key, const Identity& hub, std::string_view session_id) {
  if (key.recipient != hub.recipient()) {
    return fail(ErrorCode::kPermissionDenied, "the key of the recording's chain is sealed to {}; the hub's is {}",
                to_text(key.recipient), to_text(hub.recipient()));
  }
  auto opened = open(key, hub, session_id, kChainInfo);
  if (!opened) {
    return fail(ErrorCode::kCorrupt, "the recording was rewritten: the key of the chain in its header does not open");
  }
  return std::move(*opened);
}

std::string names_of(std::span<const SealedKey> keys) {
  std::string names;
  for (const SealedKey& key : keys) names += (names.empty() ? "" : ", ") + to_text(key.recipient);
  return names;
}

}  // namespace mezite::recording
