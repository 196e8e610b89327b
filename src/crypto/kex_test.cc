#include "crypto/kex.hh"

#include <gtest/gtest.h>

#include <string>

namespace mezite::crypto {
namespace {

using enum KeyAgreementGroup;
constexpr KeyAgreementGroup kCurves[] = {kX25519, kP256, kP384, kP521};
constexpr KeyAgreementGroup kModuli[] = {kModp2048, kModp4096, kModp8192};

KeyAgreement generate(KeyAgreementGroup group) { return *KeyAgreement::generate(group); }
Bytes hex(std::string_view text) { return *from_hex(text); }

TEST(KeyAgreement, BothSidesGetTheSameSecret) {
  for (const auto group : {kX25519, kP256, kP384, kP521, kModp2048, kModp4096, kModp8192}) {
    const auto a = generate(group);
    const auto b = generate(group);
    const auto ab = a.agree(b.public_value());
    const auto ba = b.agree(a.public_value());
    ASSERT_TRUE(ab && ba);
    const std::size_t size = group == kP384 ? 48 : group == kP521 ? 66 : ab->size() > 66 ? ab->size() : 32;
    EXPECT_EQ(ab->size(), size);
    EXPECT_EQ(to_hex(ab->view()), to_hex(ba->view()));
    EXPECT_NE(to_hex(ab->view()), to_hex(generate(group).agree(b.public_value())->view()));
  }
}

TEST(KeyAgreement, WrongLengthsAreRefused) {
  for (const auto group : kCurves) {
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
  for (const auto group : {kP256, kP384, kP521}) {
    const auto key = generate(group);
    const std::size_t size = key.public_value().size();
    Bytes off = to_bytes(generate(group).public_value());
    off.back() ^= 1;
    EXPECT_FALSE(key.agree(off));
    EXPECT_FALSE(key.agree(Bytes(size, 0)));     // "infinity", padded
    EXPECT_FALSE(key.agree(Bytes(1, 0)));        // infinity
    EXPECT_FALSE(key.agree(Bytes(size, 0xff)));  // coordinates over the prime
    Bytes over_prime(size, 0xff);
    over_prime[0] = 4;
    EXPECT_FALSE(key.agree(over_prime));
    Bytes compressed = to_bytes(key.public_value());
    compressed.resize(size / 2 + 1);
    compressed[0] = 2;
    EXPECT_FALSE(key.agree(compressed));
    Bytes hybrid = to_bytes(generate(group).public_value());
    hybrid[0] = static_cast<std::uint8_t>(6 + (hybrid.back() & 1));
    EXPECT_FALSE(key.agree(hybrid));
  }
}

// RFC 4253 §8: a value outside [1, p-1] ends the exchange; 1 and p - 1 give a secret that everybody knows.
TEST(KeyAgreement, NumbersOutOfRangeAreRefused) {
  for (const auto group : kModuli) {
    const auto key = generate(group);
    const std::size_t size = group == kModp2048 ? 256 : group == kModp4096 ? 512 : 1024;
    // RFC 3526: 64 ones, some bits of pi and a small number, 64 ones.
    Bytes prime(size, 0xff);
    const Bytes pi = hex("c90fdaa22168c234c4c6628b80dc1cd129024e088a67cc74");
    std::copy(pi.begin(), pi.end(), prime.begin() + 8);
    const auto refused = [&](BytesView value) {
      const auto result = key.agree(value);
      return !result && result.error().code == ErrorCode::kProtocol;
    };
    EXPECT_TRUE(refused({}));
    EXPECT_TRUE(refused(Bytes(1, 0)));
    EXPECT_TRUE(refused(Bytes(1, 1)));
    EXPECT_TRUE(refused(Bytes(size, 0)));
    EXPECT_TRUE(refused(Bytes(size, 0xff)));  // over p
    Bytes longer(size + 1, 0);
    longer[0] = 1;
    EXPECT_TRUE(refused(longer));
    EXPECT_TRUE(refused(Bytes(60'000, 9)));
  }
  // p - 1, p and p + 1 of group 14, and 2, of which the group is made.
  const Bytes prime = hex(
      "ffffffffffffffffc90fdaa22168c234c4c6628b80dc1cd129024e088a67cc74020bbea63b139b22514a08798e3404ddef9519b3cd3a431b"
      "302b0a6df25f14374fe1356d6d51c245e485b576625e7ec6f44c42e9a637ed6b0bff5cb6f406b7edee386bfb5a899fa5ae9f24117c4b1fe6"
      "49286651ece45b3dc2007cb8a163bf0598da48361c55d39a69163fa8fd24cf5f83655d23dca3ad961c62f356208552bb9ed529077096966d"
      "670c354e4abc9804f1746c08ca18217c32905e462e36ce3be39e772c180e86039b2783a2ec07a28fb5c55df06f4c52c9de2bcbf695581718"
      "3995497cea956ae515d2261898fa051015728e5a8aacaa68ffffffffffffffff");
  const auto key = generate(kModp2048);
  Bytes value = prime;
  EXPECT_FALSE(key.agree(value));
  value.back() = 0xfe;
  EXPECT_FALSE(key.agree(value));
  value = prime;
  for (std::size_t i = value.size(); value[i - 1]++ == 0xff;) --i;
  EXPECT_FALSE(key.agree(value));
  EXPECT_TRUE(key.agree(Bytes(1, 4)));  // a square, so in the subgroup of order (p - 1) / 2
}

}  // namespace
}  // namespace mezite::crypto
