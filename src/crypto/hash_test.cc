#include "crypto/hash.hh"

#include <gtest/gtest.h>

#include "crypto/random.hh"

namespace mezite::crypto {
namespace {

// FIPS 180-4, example "abc".
TEST(HashTest, KnownAnswers) {
  EXPECT_EQ(to_hex(sha256(as_bytes("abc"))), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(to_hex(sha384(as_bytes("abc"))),
            "cb00753f45a35e8bb5a03d699ac65007272c32ab0eded1631a8b605a43ff5bed8086072ba1e7cc2358baeca134c825a7");
  EXPECT_EQ(to_hex(sha512(as_bytes("abc"))),
            "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a2192992a274fc1a836ba3c23a3feebbd"
            "454d4423643ce80e2a9ac94fa54ca49f");
}

// RFC 4231 §4.3 (test case 2).
TEST(HashTest, HmacKnownAnswers) {
  const auto key = as_bytes("Jefe");
  const auto data = as_bytes("what do ya want for nothing?");
  EXPECT_EQ(to_hex(hmac_sha256(key, data)), "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
  EXPECT_EQ(to_hex(hmac_sha512(key, data)),
            "164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea2505549758bf75c05a994a6d034f65f8f0e6fd"
            "caeab1a34d4a6b4b636e070a38bce737");
}

TEST(HashTest, PiecesGiveTheSameAndStartAnew) {
  Hasher hasher(HashAlgorithm::kSha256);
  for (int round = 0; round < 2; ++round) {
    EXPECT_EQ(to_hex(hasher.update(as_bytes("a")).update(as_bytes("bc")).finish()), to_hex(sha256(as_bytes("abc"))));
  }
  Hmac hmac(HashAlgorithm::kSha512, as_bytes("Jefe"));
  for (int round = 0; round < 2; ++round) {
    EXPECT_EQ(to_hex(hmac.update(as_bytes("what do ya want ")).update(as_bytes("for nothing?")).finish()),
              to_hex(hmac_sha512(as_bytes("Jefe"), as_bytes("what do ya want for nothing?"))));
  }
  // An empty key is a key of its own, not the one before.
  EXPECT_EQ(to_hex(hmac_sha256({}, {})), "b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad");
}

TEST(RandomTest, FastBytesDifferAndCrossTheBlock) {
  Bytes a(5000), b(5000);
  fill_random_fast(a);
  fill_random_fast(b);
  EXPECT_NE(a, b);
  EXPECT_GT(std::count_if(a.begin(), a.end(), [](auto x) { return x != 0; }), 4900);
}

TEST(RandomTest, TokensHave43Characters) {
  const std::string token = random_token();
  EXPECT_EQ(token.size(), 43u);
  EXPECT_NE(token, random_token());
  EXPECT_EQ(from_base64url(token)->size(), 32u);
}

}  // namespace
}  // namespace mezite::crypto
