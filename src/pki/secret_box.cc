#include "pki/secret_box.hh"

#include <fmt/format.h>

#include <optional>

#include "base/log.hh"
#include "crypto/aead.hh"
#include "crypto/random.hh"
#include "pki/authority_rows.hh"

namespace mezite::pki {

namespace {

// The first byte of a secret column.
constexpr std::uint8_t kInClear = 0;
constexpr std::uint8_t kSealed = 1;

constexpr std::string_view kCheckContext = "secret_box/check";
constexpr std::string_view kCheckText = "mezite";

struct Stored {
  Bytes salt;
  crypto::Argon2Params params;
  Bytes check_value;
};

Result<std::optional<Stored>> load(store::Session& session) {
  MEZ_TRY(auto rows, session.query("SELECT salt, memory_kib, iterations, lanes, check_value FROM secret_box"));
  MEZ_TRY(bool found, rows.next());
  if (!found) return std::nullopt;
  Stored stored{.salt = rows.bytes(0), .params = {}, .check_value = rows.bytes(4)};
  std::int64_t memory = rows.integer(1), iterations = rows.integer(2), lanes = rows.integer(3);
  // Whoever writes to the file must not be able to make the hub take all memory, or a key that is quickly guessed.
  if (memory < 8 || memory > (1 << 20) || iterations < 1 || iterations > 64 || lanes < 1 || lanes > 64 ||
      stored.salt.size() < 16 || stored.salt.size() > 64) {
    return fail(ErrorCode::kCorrupt, "the database's key parameters (table secret_box) are damaged: restore a backup");
  }
  stored.params = {.memory_kib = static_cast<std::uint32_t>(memory),
                   .iterations = static_cast<std::uint32_t>(iterations),
                   .lanes = static_cast<std::uint32_t>(lanes)};
  return stored;
}

Result<Bytes> seal_with(const Secret& key, std::string_view context, BytesView secret) {
  Bytes stored{key.empty() ? kInClear : kSealed};
  if (key.empty()) {
    stored.insert(stored.end(), secret.begin(), secret.end());
    return stored;
  }
  MEZ_TRY(Bytes sealed, crypto::aead_seal(key.view(), secret, as_bytes(context)));
  stored.insert(stored.end(), sealed.begin(), sealed.end());
  return stored;
}

}  // namespace

Result<Bytes> SecretBox::seal(std::string_view context, BytesView secret) const {
  return seal_with(key_, context, secret);
}

Result<Secret> SecretBox::open_sealed(std::string_view context, BytesView stored) const {
  if (stored.empty() || stored[0] > kSealed) return fail(ErrorCode::kCorrupt, "{}: not a stored secret", context);
  BytesView content = stored.subspan(1);
  if (stored[0] == kInClear) {
    // With a key everything was sealed when the box was opened; what is in clear was put there by somebody else.
    if (!key_.empty()) return fail(ErrorCode::kCorrupt, "{}: stored in clear, although there is a passphrase", context);
    return Secret(content);
  }
  if (key_.empty()) return fail(ErrorCode::kFailedPrecondition, "{}: encrypted; set ca_key_passphrase", context);
  auto opened = crypto::aead_open(key_.view(), content, as_bytes(context));
  if (!opened) return wrap(opened.error(), context);
  return opened;
}

Result<SecretBox> SecretBox::open(store::Database& database, const Secret& passphrase,
                                  const crypto::Argon2Params& params) {
  std::optional<Stored> stored;
  {
    MEZ_TRY(auto reader, database.snapshot());
    MEZ_TRY(stored, load(reader));
  }
  if (passphrase.empty()) {
    if (!stored) return SecretBox(Secret());
    return fail(ErrorCode::kFailedPrecondition,
                "the keys in {} are encrypted and ca_key_passphrase is not set: without it a restored hub can't sign; "
                "set ca_key_passphrase or MEZITE_CA_KEY_PASSPHRASE to the passphrase that they were made with",
                database.path().string());
  }
  if (stored) {
    MEZ_TRY(Secret key, crypto::derive_key(passphrase.view(), stored->salt, stored->params, crypto::kAeadKeySize));
    if (!crypto::aead_open(key.view(), stored->check_value, as_bytes(kCheckContext))) {
      return fail(ErrorCode::kFailedPrecondition,
                  "wrong ca_key_passphrase: the keys in {} were encrypted with another one; set ca_key_passphrase or "
                  "MEZITE_CA_KEY_PASSPHRASE to that",
                  database.path().string());
    }
    return SecretBox(std::move(key));
  }
  Bytes salt = crypto::random_bytes(16);
  MEZ_TRY(Secret key, crypto::derive_key(passphrase.view(), salt, params, crypto::kAeadKeySize));
  MEZ_TRY(Bytes check, crypto::aead_seal(key.view(), as_bytes(kCheckText), as_bytes(kCheckContext)));
  SecretBox box(std::move(key));
  std::size_t sealed = 0;
  {
    MEZ_TRY(auto transaction, database.begin());
    MEZ_CHECK(transaction.execute(
        "INSERT INTO secret_box (one, salt, memory_kib, iterations, lanes, check_value) VALUES (1, ?1, ?2, ?3, ?4, ?5)",
        {salt, params.memory_kib, params.iterations, params.lanes, check}));
    MEZ_TRY(sealed, seal_stored_keys(transaction, SecretBox(Secret()), box));
    MEZ_CHECK(transaction.commit());
  }
  if (sealed > 0) {
    log::info("CA keys that were stored in clear are encrypted from now on; older backups still hold them in clear",
              {{"keys", sealed}});
    // The clear text is still in the log otherwise.
    if (auto scrubbed = database.scrub(); !scrubbed) log::warn("scrubbing the database", {{"error", scrubbed.error()}});
  }
  return box;
}

}  // namespace mezite::pki
