#include "audit/chain.hh"

#include <algorithm>

namespace mezite::audit {

namespace {

// Says apart what is sealed from what is linked: no event can stand for a checkpoint.
constexpr std::string_view kSealLabel = "mezite audit checkpoint";
constexpr std::string_view kSignerLabel = "mezite audit checkpoint signing key 1";

ChainHash to_chain_hash(const Bytes& digest) {
  ChainHash out{};
  std::ranges::copy(digest, out.begin());
  return out;
}

}  // namespace

std::string chain_key_id(const Secret& key) {
  if (key.empty()) return std::string(kNoKeyId);
  return to_hex(crypto::sha256(key.view())).substr(0, 8);
}

ChainKeys::ChainKeys(Secret current, std::vector<Secret> previous) {
  std::string id = chain_key_id(current);
  keys_.push_back({std::move(id), std::move(current)});
  for (Secret& key : previous) {
    id = chain_key_id(key);
    if (!key.empty() && !knows(id)) keys_.push_back({std::move(id), std::move(key)});
  }
}

bool ChainKeys::knows(std::string_view id) const {
  return id == kNoKeyId || std::ranges::find(keys_, id, &Key::id) != keys_.end();
}

ChainHash ChainKeys::mac(std::string_view key_id, BytesView first, BytesView second) const {
  if (key_id == kNoKeyId) {
    return to_chain_hash(crypto::Hasher(crypto::HashAlgorithm::kSha256).update(first).update(second).finish());
  }
  auto key = std::ranges::find(keys_, key_id, &Key::id);
  if (key == keys_.end()) return {};
  return to_chain_hash(
      crypto::Hmac(crypto::HashAlgorithm::kSha256, key->key.view()).update(first).update(second).finish());
}

ChainHash ChainKeys::link(std::string_view key_id, const ChainHash& previous, std::string_view json) const {
  return mac(key_id, previous, as_bytes(json));
}

Result<crypto::SigningKey> ChainKeys::signing_key(std::string_view key_id) const {
  auto key = std::ranges::find(keys_, key_id, &Key::id);
  if (key == keys_.end() || key->key.empty()) {
    return fail(ErrorCode::kNotFound, "there is no key {} to sign checkpoints with", key_id);
  }
  auto seed = crypto::hmac_sha256(key->key.view(), as_bytes(kSignerLabel));
  return crypto::SigningKey::from_ed25519_seed(seed);
}

ChainHash ChainKeys::seal(std::string_view key_id, std::int64_t sequence, const ChainHash& last) const {
  Bytes what(last.begin(), last.end());
  for (int shift = 56; shift >= 0; shift -= 8) what.push_back(static_cast<std::uint8_t>(sequence >> shift));
  return mac(key_id, as_bytes(kSealLabel), what);
}

}  // namespace mezite::audit
