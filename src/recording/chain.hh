// What makes one chain of a recording's segments (docs/recording-format.md): sums, by which anybody finds damage, and
// tags, by which the hub finds that somebody rewrote it.
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "base/bytes.hh"
#include "base/secret.hh"
#include "crypto/gmac.hh"

namespace mezite::recording {

// XXH3-128 in its canonical form. Has no key: who can write the file can make it anew.
using Sum = std::array<std::uint8_t, 16>;
using Tag = crypto::GmacTag;
inline constexpr std::size_t kChainKeyBytes = crypto::kGmacKeyBytes;

// Of the parts, one after another.
Sum sum_of(std::span<const BytesView> parts);
// XXH3-64 in its canonical form.
std::array<std::uint8_t, 8> short_sum_of(BytesView bytes);

// Makes the tags one after another, each with a key of its own that the one before gives and that does not lead back to
// it. Who has this after segment n can make none of the tags up to n.
class TagChain {
 public:
  // Of kChainKeyBytes.
  explicit TagChain(Secret first_key) : key_(std::move(first_key)) {}

  // The tag of segment number(), over the tag before it and the parts. Its key is wiped when this returns.
  Tag next(std::span<const BytesView> parts);
  // The same with the segment's sum, from one reading of its bytes: `before` is the sum before it.
  struct Ends {
    Tag tag;
    Sum sum;
  };
  Ends next_with_sum(const Sum& before, BytesView segment);
  // Goes to a later segment, whose predecessor has the tag `before`: one HMAC for each that is passed over.
  void skip_to(std::uint64_t number, const Tag& before);
  std::uint64_t number() const { return number_; }  // of the next segment; the header is number 0

 private:
  void step();

  Secret key_;
  Tag last_{};
  std::uint64_t number_ = 0;
};

}  // namespace mezite::recording
