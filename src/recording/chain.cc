#include "recording/chain.hh"

#if defined(__x86_64__)
#include <xxh_x86dispatch.h>  // the same functions, by what the processor has
#else
#include <xxhash.h>
#endif

#include <algorithm>
#include <memory>
#include <vector>

#include "crypto/hash.hh"

namespace mezite::recording {
namespace {

constexpr std::string_view kStepLabel = "mezite recording chain step 1";
constexpr std::size_t kNearBytes = 16 * 1024;  // stays in the cache next to the core

// One at a time in a thread.
class Summing {
 public:
  Summing() { XXH3_128bits_reset(state()); }
  void update(BytesView bytes) { XXH3_128bits_update(state(), bytes.data(), bytes.size()); }
  Sum finish() const {
    XXH128_canonical_t canonical;
    XXH128_canonicalFromHash(&canonical, XXH3_128bits_digest(state()));
    return std::to_array(canonical.digest);
  }

 private:
  struct Free {
    void operator()(XXH3_state_t* state) const { XXH3_freeState(state); }
  };
  static XXH3_state_t* state() {
    thread_local const std::unique_ptr<XXH3_state_t, Free> state(XXH3_createState());
    return state.get();
  }
};

}  // namespace

Sum sum_of(std::span<const BytesView> parts) {
  Summing summing;
  for (const BytesView part : parts) summing.update(part);
  return summing.finish();
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

TagChain::Ends TagChain::next_with_sum(const Sum& before, BytesView segment) {
  Summing sum;
  crypto::OneTimeGmac mac(key_.view());
  sum.update(before);
  mac.update(last_);
  // The sum comes first: it asks for memory ahead of itself, which what the session's core wrote needs.
  for (BytesView rest = segment; !rest.empty();) {
    const BytesView piece = rest.first(std::min(rest.size(), kNearBytes));
    sum.update(piece);
    mac.update(piece);
    rest = rest.subspan(piece.size());
  }
  last_ = mac.finish();
  sum.update(last_);
  step();
  return {.tag = last_, .sum = sum.finish()};
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
