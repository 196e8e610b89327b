#include "crypto/x25519.hh"

#include <gtest/gtest.h>

#include <algorithm>
#include <string_view>

namespace mezite::crypto {
namespace {

Bytes hex(std::string_view text) { return *from_hex(text); }
Secret secret(std::string_view text) { return Secret(BytesView(hex(text))); }

constexpr std::string_view kAlice = "77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a";
constexpr std::string_view kBob = "5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb";

TEST(X25519, AgreesAsInTheRfc) {  // RFC 7748 §6.1
  const auto alice = x25519_public(secret(kAlice));
  const auto bob = x25519_public(secret(kBob));
  ASSERT_TRUE(alice && bob);
  EXPECT_EQ(to_hex(*alice), "8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a");
  EXPECT_EQ(to_hex(*bob), "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f");
  for (const auto& shared : {x25519_agree(secret(kAlice), *bob), x25519_agree(secret(kBob), *alice)}) {
    ASSERT_TRUE(shared);
    EXPECT_EQ(to_hex(shared->view()), "4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742");
  }
}

TEST(X25519, NewKeysDifferAndAgree) {
  const Secret one = x25519_generate();
  const Secret other = x25519_generate();
  EXPECT_NE(to_hex(one.view()), to_hex(other.view()));
  EXPECT_EQ(to_hex(x25519_agree(one, *x25519_public(other))->view()),
            to_hex(x25519_agree(other, *x25519_public(one))->view()));
}

TEST(X25519, KeysOfLowOrderAndOfWrongLengthAreRefused) {
  EXPECT_FALSE(x25519_agree(secret(kAlice), X25519PublicKey{}));
  X25519PublicKey one{};
  one[0] = 1;
  EXPECT_FALSE(x25519_agree(secret(kAlice), one));
  EXPECT_FALSE(x25519_public(Secret(std::size_t{31})));
  EXPECT_FALSE(x25519_agree(Secret(std::size_t{33}), *x25519_public(secret(kBob))));
}

TEST(Hkdf, GivesWhatTheRfcDoes) {  // RFC 5869 appendix A.1, its first 32 bytes
  const Secret key = hkdf_sha256(Bytes(22, 0x0b), hex("000102030405060708090a0b0c"), hex("f0f1f2f3f4f5f6f7f8f9"));
  EXPECT_EQ(to_hex(key.view()), "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf");
}

}  // namespace
}  // namespace mezite::crypto
