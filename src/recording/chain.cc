#include "recording/chain.hh"

#include <xxhash.h>

#include <algorithm>
#include <memory>
#include <vector>

#include "crypto/hash.hh"

namespace mezite::recording {
namespace {

constexpr std::string_view kStepLabel = "mezite recording chain step 1";

}  // namespace

Sum sum_of(std::span<const BytesView> parts) {
  struct Free {
    void operator()(XXH3_state_t* state) const { XXH3_freeState(state); }
  };
  thread_local const std::unique_ptr<XXH3_state_t, Free> state(XXH3_createState());
  XXH3_128bits_reset(state.get());
  for (const BytesView part : parts) XXH3_128bits_update(state.get(), part.data(), part.size());
  XXH128_canonical_t canonical;
  XXH128_canonicalFromHash(&canonical, XXH3_128bits_digest(state.get()));
  return std::to_array(canonical.digest);
}

std::array<std::uint8_t, 8> short_sum_of(BytesView bytes) {
  XXH64_canonical_t canonical;
  XXH64_canonicalFromHash(&canonical, XXH3_64bits(bytes.data(), bytes.size()));
  return std::to_array(canonical.digest);
}

Tag TagChain::next(std::span<const BytesView> parts) {
  std::vector<BytesView> all{last_};
  all.insert(all.end(), parts.begin(), parts.end());
  last_ = crypto::one_time_gmac(key_.view(), all);
  step();
  return last_;
}

void TagChain::skip_to(std::uint64_t number, const Tag& before) {
  while (number_ < number) step();
  last_ = before;
}

void TagChain::step() {
  crypto::Sha256Digest next = crypto::hmac_sha256(key_.view(), as_bytes(kStepLabel));
  key_ = Secret(BytesView(next));  // the old one is wiped
  ::explicit_bzero(next.data(), next.size());
  ++number_;
}

}  // namespace mezite::recording
