#include "crypto/signing_key.hh"

#include <gtest/gtest.h>

#include <chrono>

#include "crypto/random.hh"

namespace mezite::crypto {
namespace {

struct Kind {
  KeyAlgorithm algorithm;
  SignatureHash hash;
  std::size_t signature_size;
};

class SigningKeyTest : public testing::TestWithParam<Kind> {};

TEST_P(SigningKeyTest, SignsVerifiesAndRoundTrips) {
  const auto [algorithm, hash, signature_size] = GetParam();
  const auto key = SigningKey::generate(algorithm, 2048);
  ASSERT_TRUE(key);
  const Bytes signature = *key->sign(hash, as_bytes("message"));
  EXPECT_EQ(signature.size(), signature_size);
  const auto again = SigningKey::from_pkcs8(key->to_pkcs8()->view());
  ASSERT_TRUE(again);
  EXPECT_EQ(again->public_key().spki(), key->public_key().spki());
  const auto from_pem = SigningKey::from_pem(key->to_pem()->text());
  ASSERT_TRUE(from_pem);
  const auto verifying = VerifyingKey::from_spki(key->public_key().spki());
  ASSERT_TRUE(verifying);
  EXPECT_EQ(verifying->algorithm(), algorithm);
  EXPECT_TRUE(verifying->verify(hash, as_bytes("message"), signature));
  EXPECT_FALSE(verifying->verify(hash, as_bytes("massage"), signature));
  EXPECT_FALSE(verifying->verify(hash, as_bytes("message"), {}));
  EXPECT_FALSE(verifying->verify(hash, as_bytes("message"), BytesView(signature).first(signature.size() - 1)));
  for (std::size_t byte = 0; byte < signature.size(); ++byte) {
    Bytes damaged = signature;
    damaged[byte] ^= 1;
    EXPECT_FALSE(verifying->verify(hash, as_bytes("message"), damaged)) << byte;
  }
  const SignatureHash wrong = hash == SignatureHash::kSha512 ? SignatureHash::kSha256 : SignatureHash::kSha512;
  EXPECT_FALSE(verifying->verify(wrong, as_bytes("message"), signature));
}

INSTANTIATE_TEST_SUITE_P(All, SigningKeyTest,
                         testing::Values(Kind{KeyAlgorithm::kEd25519, SignatureHash::kNone, 64},
                                         Kind{KeyAlgorithm::kEcdsaP256, SignatureHash::kSha256, 64},
                                         Kind{KeyAlgorithm::kEcdsaP384, SignatureHash::kSha384, 96},
                                         Kind{KeyAlgorithm::kEcdsaP521, SignatureHash::kSha512, 132},
                                         Kind{KeyAlgorithm::kRsa, SignatureHash::kSha512, 256}));

// RFC 8032 §7.1, test 2.
TEST(Ed25519Test, KnownAnswer) {
  const auto seed = *from_hex("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb");
  const auto key = SigningKey::from_ed25519_seed(seed);
  ASSERT_TRUE(key);
  EXPECT_EQ(to_hex(key->public_key().raw()), "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c");
  EXPECT_EQ(to_hex(*key->sign(SignatureHash::kNone, Bytes{0x72})),
            "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
            "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00");
  EXPECT_EQ(to_hex(key->private_raw()->view()), to_hex(seed));
}

TEST(VerifyingKeyTest, DegenerateKeysAreRefusedCheaply) {
  const auto start = std::chrono::steady_clock::now();
  EXPECT_FALSE(VerifyingKey::ed25519(Bytes(31)));
  EXPECT_FALSE(VerifyingKey::ed25519(Bytes(33)));
  EXPECT_FALSE(VerifyingKey::ecdsa(KeyAlgorithm::kEcdsaP256, Bytes{0}));  // infinity
  Bytes off_curve(65, 1);
  off_curve[0] = 4;
  EXPECT_FALSE(VerifyingKey::ecdsa(KeyAlgorithm::kEcdsaP256, off_curve));
  EXPECT_FALSE(VerifyingKey::ecdsa(KeyAlgorithm::kEcdsaP256, Bytes(65)));
  EXPECT_FALSE(VerifyingKey::ecdsa(KeyAlgorithm::kEcdsaP384, off_curve));
  EXPECT_FALSE(VerifyingKey::ecdsa(KeyAlgorithm::kRsa, off_curve));
  const Bytes e{1, 0, 1};
  EXPECT_FALSE(VerifyingKey::rsa({{}, e}));
  EXPECT_FALSE(VerifyingKey::rsa({Bytes(256), e}));  // zero
  EXPECT_FALSE(VerifyingKey::rsa({Bytes(128, 0xff), e}));
  EXPECT_FALSE(VerifyingKey::rsa({Bytes(1 << 20, 0xff), e}));
  Bytes even(256, 0xff);
  even.back() = 0xfe;
  EXPECT_FALSE(VerifyingKey::rsa({even, e}));
  const Bytes odd(256, 0xff);
  EXPECT_FALSE(VerifyingKey::rsa({odd, {1}}));
  EXPECT_FALSE(VerifyingKey::rsa({odd, {4}}));
  EXPECT_FALSE(VerifyingKey::rsa({odd, Bytes(256, 0xff)}));
  EXPECT_TRUE(VerifyingKey::rsa({odd, e}));
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::milliseconds(50));
}

TEST(SigningKeyParseTest, GarbageIsAnError) {
  EXPECT_FALSE(SigningKey::from_pkcs8({}));
  EXPECT_FALSE(SigningKey::from_pkcs8(random_bytes(64)));
  EXPECT_FALSE(SigningKey::from_pem(""));
  EXPECT_FALSE(SigningKey::from_pem("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"));
  EXPECT_FALSE(VerifyingKey::from_spki(random_bytes(64)));
  EXPECT_FALSE(SigningKey::generate(KeyAlgorithm::kRsa, 1024));
}

}  // namespace
}  // namespace mezite::crypto
