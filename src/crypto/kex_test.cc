#include "crypto/kex.hh"

#include <gtest/gtest.h>

#include <string>

namespace mezite::crypto {
namespace {

KeyAgreement generate(KeyAgreementGroup group) { return *KeyAgreement::generate(group); }
Bytes hex(std::string_view text) { return *from_hex(text); }

TEST(KeyAgreement, BothSidesGetTheSameSecret) {
  for (const auto group : {KeyAgreementGroup::kX25519, KeyAgreementGroup::kP256}) {
    const auto a = generate(group);
    const auto b = generate(group);
    const auto ab = a.agree(b.public_value());
    const auto ba = b.agree(a.public_value());
    ASSERT_TRUE(ab && ba);
    EXPECT_EQ(ab->size(), 32u);
    EXPECT_EQ(to_hex(ab->view()), to_hex(ba->view()));
    EXPECT_NE(to_hex(ab->view()), to_hex(generate(group).agree(b.public_value())->view()));
  }
}

TEST(KeyAgreement, WrongLengthsAreRefused) {
  for (const auto group : {KeyAgreementGroup::kX25519, KeyAgreementGroup::kP256}) {
    const auto key = generate(group);
    Bytes value = to_bytes(key.public_value());
    EXPECT_FALSE(key.agree({}));
    value.push_back(0);
    EXPECT_FALSE(key.agree(value));
    value.resize(value.size() - 2);
    const auto result = key.agree(value);
    ASSERT_FALSE(result);
    EXPECT_EQ(result.error().code, ErrorCode::kProtocol);
  }
}

// RFC 8731 §3: points whose multiple is zero whatever the secret is.
TEST(KeyAgreement, LowOrderPointsOfX25519AreRefused) {
  const auto key = generate(KeyAgreementGroup::kX25519);
  for (const auto* point : {
           "0000000000000000000000000000000000000000000000000000000000000000",
           "0100000000000000000000000000000000000000000000000000000000000000",
           "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
           "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
           "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
           "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
           "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
       }) {
    const auto result = key.agree(hex(point));
    ASSERT_FALSE(result) << point;
    EXPECT_EQ(result.error().code, ErrorCode::kProtocol);
  }
}

TEST(KeyAgreement, PointsOffTheCurveAreRefused) {
  const auto key = generate(KeyAgreementGroup::kP256);
  Bytes off = to_bytes(generate(KeyAgreementGroup::kP256).public_value());
  off[64] ^= 1;
  EXPECT_FALSE(key.agree(off));
  EXPECT_FALSE(key.agree(Bytes(65, 0)));     // "infinity", padded
  EXPECT_FALSE(key.agree(Bytes(1, 0)));      // infinity
  EXPECT_FALSE(key.agree(Bytes(65, 0xff)));  // coordinates over the prime
  Bytes over_prime(65, 0xff);
  over_prime[0] = 4;
  EXPECT_FALSE(key.agree(over_prime));
  Bytes compressed = to_bytes(key.public_value());
  compressed.resize(33);
  compressed[0] = 2;
  EXPECT_FALSE(key.agree(compressed));
  Bytes hybrid = to_bytes(generate(KeyAgreementGroup::kP256).public_value());
  hybrid[0] = static_cast<std::uint8_t>(6 + (hybrid[64] & 1));
  EXPECT_FALSE(key.agree(hybrid));
}

}  // namespace
}  // namespace mezite::crypto
