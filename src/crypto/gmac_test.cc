#include "crypto/gmac.hh"

#include <gtest/gtest.h>

#include "crypto/aead.hh"

namespace mezite::crypto {
namespace {

// "The Galois/Counter Mode of Operation" (McGrew, Viega), test case 13: no text, no associated data.
TEST(Gmac, AnswersAsItsSpecificationDoes) {
  EXPECT_EQ(to_hex(one_time_gmac(Bytes(32, 0), {})), "530f8afbc74536b9a963b4f1c4cb738b");
}

TEST(Gmac, PartsAreAsOneWholeAndEveryBitCounts) {
  const Bytes key(32, 7);
  Bytes text(1000, 3);
  const BytesView whole[] = {text};
  const BytesView parts[] = {
      BytesView(text).first(17), {}, BytesView(text).subspan(17, 500), BytesView(text).subspan(517)};
  const GmacTag tag = one_time_gmac(key, whole);
  EXPECT_EQ(one_time_gmac(key, parts), tag);
  text[999] ^= 1;
  EXPECT_NE(one_time_gmac(key, whole), tag);
  text[999] ^= 1;
  EXPECT_NE(one_time_gmac(Bytes(32, 8), whole), tag);
}

}  // namespace
}  // namespace mezite::crypto
