#include "pki/kms_key_store.hh"

#include <fmt/format.h>

#include <atomic>
#include <map>
#include <mutex>
#include <nlohmann/json.hpp>
#include <optional>

#include "base/log.hh"
#include "crypto/random.hh"
#include "pki/authority_rows.hh"
#include "store/settings.hh"

namespace mezite::pki {

namespace {

// Signatures that wait for KMS, counted, so that they can't take every worker there is.
struct Gate {
  std::atomic<unsigned> waiting{0};
  unsigned most = 0;
};

class Pass {
 public:
  explicit Pass(Gate& gate) : gate_(gate), number_(++gate.waiting) {}
  ~Pass() { --gate_.waiting; }
  Pass(const Pass&) = delete;
  Pass& operator=(const Pass&) = delete;
  unsigned number() const { return number_; }

 private:
  Gate& gate_;
  const unsigned number_;
};

class KmsSigner final : public crypto::Signer {
 public:
  KmsSigner(std::shared_ptr<aws::Kms> kms, std::shared_ptr<Gate> gate, std::string alias,
            crypto::VerifyingKey public_key)
      : kms_(std::move(kms)), gate_(std::move(gate)), alias_(std::move(alias)), public_(std::move(public_key)) {}

  const crypto::VerifyingKey& public_key() const override { return public_; }

  Result<Bytes> sign(crypto::SignatureHash hash, BytesView message) const override {
    if (hash != crypto::SignatureHash::kSha256) {
      return fail(ErrorCode::kInvalidArgument, "{} signs with SHA-256 only", alias_);
    }
    const Pass pass(*gate_);
    if (pass.number() > gate_->most) {
      return fail(ErrorCode::kResourceExhausted,
                  "too many signatures wait for KMS; try again in a moment, and look at KMS if it lasts");
    }
    MEZ_TRY(Bytes signature, kms_->sign(alias_, crypto::sha256(message)));
    if (!public_.verify(hash, message, signature)) {
      return fail(ErrorCode::kFailedPrecondition,
                  "{} signs with another key than the one of this CA: point the alias at the key that it had", alias_);
    }
    return signature;
  }

 private:
  std::shared_ptr<aws::Kms> kms_;
  std::shared_ptr<Gate> gate_;
  std::string alias_;
  crypto::VerifyingKey public_;
};

struct Pending {
  std::string key_id, alias;
};

class KmsKeyStore final : public KeyStore {
 public:
  KmsKeyStore(std::shared_ptr<aws::Kms> kms, store::Database& database, KmsKeyOptions options)
      : kms_(std::move(kms)), database_(database), options_(std::move(options)), software_(software_key_store()) {
    gate_->most = options_.most_at_once;
  }

  Result<NewKey> make(std::string_view ca_type) override {
    const std::lock_guard lock(making_);
    MEZ_TRY(std::optional<Pending> pending, left_over(ca_type));
    if (!pending) {
      MEZ_TRY(pending, create_key(ca_type));
    }
    if (auto named = name_key(*pending); !named) {
      return fail(named.error().code, "{} (the key {} was made and is used by the next attempt)", named.error().message,
                  pending->key_id);
    }
    StoredKey stored{{}, pending->alias};
    MEZ_TRY(CaKey key, open(stored));
    return NewKey{std::move(key), std::move(stored)};
  }

  Result<CaKey> open(const StoredKey& stored) override {
    if (stored.kms_alias.empty()) return software_->open(stored);
    auto described = kms_->describe_key(stored.kms_alias);
    if (!described) return cannot_sign(described.error());
    if (described->state != "Enabled") {
      return cannot_sign({ErrorCode::kFailedPrecondition,
                          fmt::format("the key {} of {} is {} in KMS: enable it, or cancel its deletion", described->id,
                                      stored.kms_alias, described->state)});
    }
    auto public_key = kms_->get_public_key(stored.kms_alias);
    if (!public_key) return cannot_sign(public_key.error());
    {
      const std::lock_guard lock(ids_mutex_);
      ids_[stored.kms_alias] = described->id;
    }
    return CaKey::make(std::make_shared<const KmsSigner>(kms_, gate_, stored.kms_alias, std::move(*public_key)));
  }

  std::string key_id(const std::string& kms_alias) const override {
    const std::lock_guard lock(ids_mutex_);
    const auto at = ids_.find(kms_alias);
    return at != ids_.end() ? at->second : std::string();
  }

  Result<KeyDeletion> schedule_deletion(const KmsName& key) override {
    if (key.key_id.empty()) {
      return fail(ErrorCode::kFailedPrecondition, "the id of {} is not known; delete its key in KMS by hand",
                  key.alias);
    }
    auto described = kms_->describe_key(key.key_id);
    if (!described && described.error().code == ErrorCode::kNotFound) return KeyDeletion{};
    if (!described) return std::unexpected(described.error());
    if (described->state == "PendingDeletion" && described->deleted_at) return KeyDeletion{described->deleted_at};
    MEZ_TRY(SystemTime at, kms_->schedule_key_deletion(key.key_id));
    return KeyDeletion{at};
  }

  void interrupt() override { kms_->interrupt(); }
  std::string metrics() const override { return kms_->latency().prometheus("mezite_kms_call"); }

 private:
  static std::unexpected<Error> cannot_sign(const Error& error) {
    return fail(error.code, "without its KMS key this hub can't sign: {}", error.message);
  }

  // What an earlier attempt made and did not come to use. A key that can't be used any more is forgotten.
  Result<std::optional<Pending>> left_over(std::string_view ca_type) {
    std::optional<std::string> text;
    {
      MEZ_TRY(auto reader, database_.snapshot());
      MEZ_TRY(text, store::get_setting(reader, pending_kms_key_setting(ca_type)));
    }
    if (!text) return std::nullopt;
    const auto json = nlohmann::json::parse(*text, nullptr, false);
    Pending pending;
    if (json.is_object() && json.contains("key_id") && json["key_id"].is_string() && json.contains("alias") &&
        json["alias"].is_string()) {
      pending = {json["key_id"].get<std::string>(), json["alias"].get<std::string>()};
    }
    if (pending.key_id.empty() || pending.alias.empty()) return std::nullopt;
    auto described = kms_->describe_key(pending.key_id);
    if (!described && described.error().code == ErrorCode::kNotFound) return std::nullopt;
    if (!described) return std::unexpected(described.error());
    if (described->state != "Enabled") return std::nullopt;
    log::info("going on with the KMS key of an earlier attempt", {{"ca", ca_type}, {"key_id", pending.key_id}});
    return pending;
  }

  Result<Pending> create_key(std::string_view ca_type) {
    auto tags = options_.tags;
    tags.emplace("mezite:cluster", options_.cluster_name);
    tags.emplace("mezite:ca", ca_type);
    MEZ_TRY(aws::KmsKey key,
            kms_->create_key(fmt::format("Mezite {} CA of cluster {}", ca_type, options_.cluster_name), tags));
    // Letters, digits, '/', '_' and '-' are what an alias may hold. The random part keeps two clusters of one name, and
    // two attempts of one cluster, from each other's keys.
    std::string cluster = options_.cluster_name;
    for (char& c : cluster) {
      if (c == '.') c = '_';
    }
    Pending pending{
        key.id, fmt::format("alias/mezite/{}/{}/{}", cluster.substr(0, 200), ca_type, to_hex(crypto::random_bytes(8)))};
    log::info("made a key in KMS", {{"ca", ca_type}, {"key_id", key.id}, {"arn", key.arn}});
    MEZ_TRY(auto transaction, database_.begin());
    MEZ_CHECK(store::put_setting(transaction, pending_kms_key_setting(ca_type),
                                 nlohmann::json{{"key_id", pending.key_id}, {"alias", pending.alias}}.dump()));
    MEZ_CHECK(transaction.commit());
    return pending;
  }

  Status name_key(const Pending& pending) {
    auto named = kms_->create_alias(pending.alias, pending.key_id);
    if (named || named.error().code != ErrorCode::kAlreadyExists) return named;
    // An answer that got lost on its way.
    MEZ_TRY(aws::KmsKey there, kms_->describe_key(pending.alias));
    if (there.id == pending.key_id) return {};
    return fail(ErrorCode::kAlreadyExists, "{} is already the name of another key", pending.alias);
  }

  const std::shared_ptr<aws::Kms> kms_;
  store::Database& database_;
  const KmsKeyOptions options_;
  const std::unique_ptr<KeyStore> software_;
  const std::shared_ptr<Gate> gate_ = std::make_shared<Gate>();
  std::mutex making_;
  mutable std::mutex ids_mutex_;
  std::map<std::string, std::string> ids_;  // by alias
};

}  // namespace

std::unique_ptr<KeyStore> kms_key_store(std::shared_ptr<aws::Kms> kms, store::Database& database,
                                        KmsKeyOptions options) {
  return std::make_unique<KmsKeyStore>(std::move(kms), database, std::move(options));
}

}  // namespace mezite::pki
