#include "pki/retired_keys.hh"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "base/log.hh"
#include "store/settings.hh"

namespace mezite::pki {

namespace {

using Json = nlohmann::json;

constexpr std::string_view kPrefix = "kms.retired.";

std::string setting_of(const RetiredKey& key) { return std::string(kPrefix) + key.kms.alias; }

std::string to_text(const RetiredKey& key) {
  Json json{{"ca", key.ca_type},
            {"key_id", key.kms.key_id},
            {"retired_at_ms", to_unix_millis(key.retired_at)},
            {"problem", key.problem}};
  if (key.deleted_at) json["deleted_at_ms"] = to_unix_millis(*key.deleted_at);
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::optional<RetiredKey> from_text(std::string_view setting, const std::string& text) {
  const Json json = Json::parse(text, nullptr, false);
  if (!json.is_object()) return std::nullopt;
  auto words = [&](const char* name) {
    const auto at = json.find(name);
    return at != json.end() && at->is_string() ? at->get<std::string>() : std::string();
  };
  auto time = [&](const char* name) -> std::optional<SystemTime> {
    const auto at = json.find(name);
    if (at == json.end() || !at->is_number_integer()) return std::nullopt;
    return from_unix_millis(at->get<std::int64_t>());
  };
  RetiredKey key{.ca_type = words("ca"),
                 .kms = {.alias = std::string(setting.substr(kPrefix.size())), .key_id = words("key_id")},
                 .retired_at = time("retired_at_ms").value_or(SystemTime()),
                 .deleted_at = time("deleted_at_ms"),
                 .problem = words("problem")};
  return key;
}

}  // namespace

Status add_retired_key(store::Session& transaction, const RetiredKey& key) {
  return store::put_setting(transaction, setting_of(key), to_text(key));
}

Result<std::vector<RetiredKey>> RetiredKeys::list() const {
  MEZ_TRY(auto reader, database_.snapshot());
  MEZ_TRY(auto rows, reader.query("SELECT name, value FROM settings WHERE name GLOB 'kms.retired.*' ORDER BY name"));
  std::vector<RetiredKey> found;
  while (true) {
    MEZ_TRY(bool more, rows.next());
    if (!more) break;
    if (auto key = from_text(rows.text(0), rows.text(1))) found.push_back(std::move(*key));
  }
  std::ranges::stable_sort(found, {}, &RetiredKey::retired_at);
  return found;
}

// An alias that somebody has moved: the key that it names now may be one that signs.
Result<bool> RetiredKeys::is_in_use(const KmsName& kms) const {
  MEZ_TRY(auto reader, database_.snapshot());
  MEZ_TRY(auto rows, reader.query("SELECT kms_alias FROM certificate_authorities WHERE kms_alias != ''"));
  while (true) {
    MEZ_TRY(bool more, rows.next());
    if (!more) return false;
    const std::string alias = rows.text(0);
    if (alias == kms.alias || keys_.key_id(alias) == kms.key_id) return true;
  }
}

Result<std::vector<RetiredKey>> RetiredKeys::settle() {
  const std::lock_guard one_at_a_time(settling_);
  MEZ_TRY(std::vector<RetiredKey> all, list());
  std::vector<RetiredKey> news;
  for (RetiredKey& key : all) {
    bool is_gone = key.deleted_at && clock_.now() >= *key.deleted_at;
    if (key.deleted_at && !is_gone) continue;
    const std::string problem_before = std::exchange(key.problem, "");
    if (!is_gone) {
      MEZ_TRY(const bool in_use, is_in_use(key.kms));
      auto asked = in_use ? Result<KeyDeletion>(fail(ErrorCode::kFailedPrecondition,
                                                     "the key {} is one that this hub signs with; look at its aliases",
                                                     key.kms.key_id))
                          : keys_.schedule_deletion(key.kms);
      if (!asked) key.problem = asked.error().message;
      if (asked) key.deleted_at = asked->at;
      is_gone = asked && !asked->at;
    }
    MEZ_TRY(auto transaction, database_.begin());
    if (is_gone) {
      MEZ_CHECK(transaction.execute("DELETE FROM settings WHERE name = ?1", {setting_of(key)}));
    } else {
      MEZ_CHECK(add_retired_key(transaction, key));
    }
    MEZ_CHECK(transaction.commit());
    if (key.problem == problem_before && !key.deleted_at) continue;
    if (is_gone) continue;
    if (key.problem.empty()) {
      log::info("a CA key that was rotated out is going to be deleted from KMS",
                {{"ca", key.ca_type}, {"key_id", key.kms.key_id}, {"at", to_rfc3339(*key.deleted_at)}});
    } else {
      log::warn("a CA key that was rotated out stays in KMS",
                {{"ca", key.ca_type}, {"key_id", key.kms.key_id}, {"error", key.problem}});
    }
    news.push_back(std::move(key));
  }
  return news;
}

}  // namespace mezite::pki
