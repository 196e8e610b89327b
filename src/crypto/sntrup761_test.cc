#include "crypto/sntrup761.hh"

#include <gtest/gtest.h>

#include <algorithm>

namespace mezite::crypto {
namespace {

using namespace sntrup761;

TEST(Sntrup761, BothSidesAgree) {
  for (int round = 0; round < 3; ++round) {
    KeyPair pair = generate();
    for (int i = 0; i < 5; ++i) {
      auto sent = encapsulate(pair.public_key);
      ASSERT_TRUE(sent);
      auto received = decapsulate(pair.private_key.view(), sent->ciphertext);
      ASSERT_TRUE(received);
      EXPECT_TRUE(std::ranges::equal(received->view(), sent->shared_secret.view()));
    }
  }
}

TEST(Sntrup761, FlippedBitsGiveAnotherSecret) {
  KeyPair pair = generate();
  auto sent = encapsulate(pair.public_key);
  ASSERT_TRUE(sent);
  for (std::size_t at : {std::size_t{0}, std::size_t{700}, kCiphertextBytes - 1}) {
    auto ciphertext = sent->ciphertext;
    ciphertext[at] ^= 1;
    auto received = decapsulate(pair.private_key.view(), ciphertext);
    ASSERT_TRUE(received);
    EXPECT_FALSE(std::ranges::equal(received->view(), sent->shared_secret.view()));
  }
}

TEST(Sntrup761, AnyBytesOfTheRightLengthAreSafe) {
  KeyPair pair = generate();
  for (int fill : {0x00, 0x7f, 0xff}) {
    Bytes key(kPublicKeyBytes, static_cast<std::uint8_t>(fill));
    EXPECT_TRUE(encapsulate(key));
    Bytes ciphertext(kCiphertextBytes, static_cast<std::uint8_t>(fill));
    EXPECT_TRUE(decapsulate(pair.private_key.view(), ciphertext));
  }
}

TEST(Sntrup761, RefusesOtherLengths) {
  KeyPair pair = generate();
  EXPECT_FALSE(encapsulate(BytesView(pair.public_key).first(kPublicKeyBytes - 1)));
  EXPECT_FALSE(decapsulate(pair.private_key.view(), Bytes(kCiphertextBytes + 1)));
  EXPECT_FALSE(decapsulate(pair.private_key.view(), {}));
}

}  // namespace
}  // namespace mezite::crypto
