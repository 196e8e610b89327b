#include "pki/secret_box.hh"

#include <fmt/format.h>

#include <array>
#include <mutex>
#include <optional>
#include <shared_mutex>

#include "base/log.hh"
#include "crypto/aead.hh"
#include "crypto/random.hh"
#include "crypto/secure_memory.hh"

namespace mezite::pki {

namespace {

// The first byte of a secret column.
constexpr std::uint8_t kInClear = 0;
constexpr std::uint8_t kSealed = 1;

constexpr std::string_view kCheckContext = "secret_box/check";
constexpr std::string_view kCheckText = "mezite";

// Every column that holds sealed values, and the SQL that gives the context of a row's: it names the row, too.
struct SealedColumn {
  std::string_view table, column, context;
};
constexpr std::array kSealedColumns{
    SealedColumn{"certificate_authorities", "private_key", "'certificate_authorities/' || type || '/' || generation"},
    SealedColumn{"recording_keys", "private_key", "'recording_keys/' || id"},
};

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

Result<Bytes> seal_with(BytesView key, std::string_view context, BytesView secret) {
  Bytes stored{key.empty() ? kInClear : kSealed};
  if (key.empty()) {
    stored.insert(stored.end(), secret.begin(), secret.end());
    return stored;
  }
  MEZ_TRY(Bytes sealed, crypto::aead_seal(key, secret, as_bytes(context)));
  stored.insert(stored.end(), sealed.begin(), sealed.end());
  return stored;
}

Result<Secret> open_with(BytesView key, std::string_view context, BytesView stored) {
  if (stored.empty() || stored[0] > kSealed) return fail(ErrorCode::kCorrupt, "{}: not a stored secret", context);
  BytesView content = stored.subspan(1);
  if (stored[0] == kInClear) {
    // With a key everything was sealed when the box was opened; what is in clear was put there by somebody else.
    if (!key.empty()) return fail(ErrorCode::kCorrupt, "{}: stored in clear, although there is a passphrase", context);
    return Secret(content);
  }
  if (key.empty()) return fail(ErrorCode::kFailedPrecondition, "{}: encrypted; set ca_key_passphrase", context);
  auto opened = crypto::aead_open(key, content, as_bytes(context));
  if (!opened) return wrap(opened.error(), context);
  return opened;
}

// Every sealed value, out of one key and into another (empty: in clear); how many.
Result<std::size_t> reseal_all(store::Session& transaction, BytesView from, BytesView to) {
  std::size_t count = 0;
  for (const SealedColumn& column : kSealedColumns) {
    std::vector<std::pair<std::string, Bytes>> values;
    {
      MEZ_TRY(auto rows,
              transaction.query(fmt::format("SELECT {}, {} FROM {}", column.context, column.column, column.table)));
      while (true) {
        MEZ_TRY(bool more, rows.next());
        if (!more) break;
        values.emplace_back(rows.text(0), rows.bytes(1));
      }
    }
    const std::string update =
        fmt::format("UPDATE {} SET {} = ?2 WHERE {} = ?1", column.table, column.column, column.context);
    for (const auto& [context, stored] : values) {
      MEZ_TRY(const Secret clear, open_with(from, context, stored));
      MEZ_TRY(Bytes sealed, seal_with(to, context, clear.view()));
      MEZ_CHECK(transaction.execute(update, {context, sealed}));
    }
    count += values.size();
  }
  return count;
}

Result<Bytes> check_value_of(BytesView key) {
  return crypto::aead_seal(key, as_bytes(kCheckText), as_bytes(kCheckContext));
}

void scrub(store::Database& database) {
  // What was overwritten is still in the log otherwise.
  if (auto scrubbed = database.scrub(); !scrubbed) log::warn("scrubbing the database", {{"error", scrubbed.error()}});
}

}  // namespace

struct SecretBox::State {
  mutable std::shared_mutex mutex;  // taken after a transaction of the database, never before
  crypto::LockedSecret key;         // empty: in clear
};

SecretBox::SecretBox(BytesView key) : state_(std::make_unique<State>()) { state_->key = crypto::LockedSecret(key); }
SecretBox::SecretBox(SecretBox&&) noexcept = default;
SecretBox& SecretBox::operator=(SecretBox&&) noexcept = default;
SecretBox::~SecretBox() = default;

bool SecretBox::needs_plaintext_warning() const {
  const std::shared_lock lock(state_->mutex);
  return state_->key.empty();
}

Result<Bytes> SecretBox::seal(std::string_view context, BytesView secret) const {
  const std::shared_lock lock(state_->mutex);
  return seal_with(state_->key.view(), context, secret);
}

Result<Secret> SecretBox::open_sealed(std::string_view context, BytesView stored) const {
  const std::shared_lock lock(state_->mutex);
  return open_with(state_->key.view(), context, stored);
}

Result<SecretBox> SecretBox::open(store::Database& database, const Secret& passphrase,
                                  const crypto::Argon2Params& params) {
  std::optional<Stored> stored;
  {
    MEZ_TRY(auto reader, database.snapshot());
    MEZ_TRY(stored, load(reader));
  }
  if (passphrase.empty()) {
    if (!stored) return SecretBox(BytesView{});
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
    return SecretBox(key.view());
  }
  Bytes salt = crypto::random_bytes(16);
  MEZ_TRY(Secret key, crypto::derive_key(passphrase.view(), salt, params, crypto::kAeadKeySize));
  MEZ_TRY(Bytes check, check_value_of(key.view()));
  std::size_t sealed = 0;
  {
    MEZ_TRY(auto transaction, database.begin());
    MEZ_CHECK(transaction.execute(
        "INSERT INTO secret_box (one, salt, memory_kib, iterations, lanes, check_value) VALUES (1, ?1, ?2, ?3, ?4, ?5)",
        {salt, params.memory_kib, params.iterations, params.lanes, check}));
    MEZ_TRY(sealed, reseal_all(transaction, {}, key.view()));
    MEZ_CHECK(transaction.commit());
  }
  if (sealed > 0) {
    log::info("CA keys that were stored in clear are encrypted from now on; older backups still hold them in clear",
              {{"keys", sealed}});
    scrub(database);
  }
  return SecretBox(key.view());
}

Status SecretBox::change_passphrase(store::Database& database, const Secret& old_passphrase,
                                    const Secret& new_passphrase, const std::function<Status(store::Session&)>& also,
                                    const crypto::Argon2Params& params) {
  if (new_passphrase.size() < kLeastPassphraseBytes) {
    return fail(ErrorCode::kInvalidArgument, "the new passphrase is shorter than {} characters; take a longer one",
                kLeastPassphraseBytes);
  }
  if (equal_constant_time(old_passphrase.view(), new_passphrase.view())) {
    return fail(ErrorCode::kInvalidArgument, "the new passphrase is the old one; take another");
  }
  std::optional<Stored> stored;
  {
    MEZ_TRY(auto reader, database.snapshot());
    MEZ_TRY(stored, load(reader));
  }
  if (!stored) {
    return fail(ErrorCode::kFailedPrecondition,
                "there is no passphrase to change: set ca_key_passphrase or MEZITE_CA_KEY_PASSPHRASE and start the hub "
                "again, which encrypts everything");
  }
  MEZ_TRY(const Secret from,
          crypto::derive_key(old_passphrase.view(), stored->salt, stored->params, crypto::kAeadKeySize));
  if (!crypto::aead_open(from.view(), stored->check_value, as_bytes(kCheckContext))) {
    return fail(ErrorCode::kPermissionDenied, "the old passphrase is not right; nothing was changed");
  }
  const Bytes salt = crypto::random_bytes(16);
  MEZ_TRY(const Secret to, crypto::derive_key(new_passphrase.view(), salt, params, crypto::kAeadKeySize));
  MEZ_TRY(const Bytes check, check_value_of(to.view()));
  {
    MEZ_TRY(auto transaction, database.begin());
    MEZ_TRY(const std::int64_t changed,
            transaction.execute("UPDATE secret_box SET salt = ?1, memory_kib = ?2, iterations = ?3, lanes = ?4,"
                                " check_value = ?5 WHERE salt = ?6",
                                {salt, params.memory_kib, params.iterations, params.lanes, check, stored->salt}));
    if (changed != 1) {
      return fail(ErrorCode::kFailedPrecondition, "somebody else has just changed the passphrase; nothing was changed");
    }
    MEZ_CHECK(reseal_all(transaction, from.view(), to.view()));
    MEZ_CHECK(also(transaction));
    // Whoever seals next has to wait for the new key: it would be the wrong one as soon as this is committed.
    const std::unique_lock lock(state_->mutex);
    MEZ_CHECK(transaction.commit());
    state_->key = crypto::LockedSecret(to.view());
  }
  scrub(database);
  return {};
}

}  // namespace mezite::pki
