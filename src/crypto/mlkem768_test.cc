#include "crypto/mlkem768.hh"

#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <string>

#include "crypto/hash.hh"
#include "crypto/sha3.hh"

namespace mezite::crypto {
namespace {

using namespace mlkem768;

TEST(Sha3, KnownAnswers) {
  // FIPS 202 values of the empty message.
  EXPECT_EQ(to_hex(sha3_256({})), "a7ffc6f8bf1ed76651c14756a061d662f580ff4de43b49fa82d80a4b80f8434a");
  std::array<std::uint8_t, 16> out;
  shake128({}, {}, out);
  EXPECT_EQ(to_hex(out), "7f9c2ba4e88f827d616045507605853e");
}

// A hundred keys, messages and random ciphertexts out of SHAKE128(""), everything that comes out hashed with SHAKE128:
// the accumulated form of the vectors. The same number comes out of @noble/post-quantum 0.7 and of Go's crypto/mlkem.
TEST(MlKem768, AccumulatedVectorsAgreeWithIndependentImplementations) {
  constexpr std::size_t kRounds = 100;
  constexpr std::size_t kEach = kSeedBytes + kMessageBytes + kCiphertextBytes;
  Bytes stream(kRounds * kEach);
  shake128({}, {}, stream);
  Bytes all;
  auto keep = [&](BytesView bytes) { all.insert(all.end(), bytes.begin(), bytes.end()); };
  for (std::size_t round = 0; round < kRounds; ++round) {
    std::span<const std::uint8_t> input = std::span(stream).subspan(round * kEach, kEach);
    KeyPair pair = from_seed(input.first<kSeedBytes>());
    keep(pair.public_key);
    auto sent = encapsulate_with(pair.public_key, input.subspan<kSeedBytes, kMessageBytes>());
    ASSERT_TRUE(sent);
    keep(sent->ciphertext);
    keep(sent->shared_secret.view());
    auto received = decapsulate(pair.private_key.view(), sent->ciphertext);
    ASSERT_TRUE(received);
    EXPECT_TRUE(std::ranges::equal(received->view(), sent->shared_secret.view()));
    keep(decapsulate(pair.private_key.view(), input.last(kCiphertextBytes))->view());
  }
  std::array<std::uint8_t, 32> digest;
  shake128(all, {}, digest);
  EXPECT_EQ(to_hex(digest), "1114b1b6699ed191734fa339376afa7e285c9e6acf6ff0177d346696ce564415");
}

// What @noble/post-quantum and npm's mlkem agree on: tests/vectors/mlkem768.mjs made the file.
TEST(MlKem768, AgreesWithOtherImplementationsStepByStep) {
  std::ifstream file(MEZITE_SOURCE_DIR "/tests/vectors/mlkem768.txt");
  int cases = 0;
  for (std::string seed_hex; file >> seed_hex; ++cases) {
    if (seed_hex == "#") {
      std::getline(file, seed_hex);
      --cases;
      continue;
    }
    std::string message_hex, public_hash, private_hash, ciphertext_hash, secret, rejected;
    ASSERT_TRUE(file >> message_hex >> public_hash >> private_hash >> ciphertext_hash >> secret >> rejected);
    const Bytes seed = *from_hex(seed_hex), message = *from_hex(message_hex);
    ASSERT_EQ(seed.size(), kSeedBytes);
    ASSERT_EQ(message.size(), kMessageBytes);
    const KeyPair pair = from_seed(std::span<const std::uint8_t, kSeedBytes>(seed));
    EXPECT_EQ(to_hex(sha256(pair.public_key)), public_hash);
    EXPECT_EQ(to_hex(sha256(pair.private_key.view())), private_hash);
    const auto sent = encapsulate_with(pair.public_key, std::span<const std::uint8_t, kMessageBytes>(message));
    ASSERT_TRUE(sent);
    EXPECT_EQ(to_hex(sha256(sent->ciphertext)), ciphertext_hash);
    EXPECT_EQ(to_hex(sent->shared_secret.view()), secret);
    EXPECT_EQ(to_hex(decapsulate(pair.private_key.view(), sent->ciphertext)->view()), secret);
    Bytes stray(kCiphertextBytes);
    shake128(seed, {}, stray);
    EXPECT_EQ(to_hex(decapsulate(pair.private_key.view(), stray)->view()), rejected);
  }
  EXPECT_EQ(cases, 24);
}

// FIPS 203 §7.2: each coefficient of the key is checked against the modulus.
TEST(MlKem768, EveryUnreducedCoefficientIsRefused) {
  const KeyPair pair = generate();
  for (std::size_t i = 0; i < 768; ++i) {
    for (const unsigned value : {3329u, 3330u, 4095u}) {
      auto key = pair.public_key;
      std::uint8_t* three = key.data() + i / 2 * 3;
      if (i % 2 == 0) {
        three[0] = static_cast<std::uint8_t>(value);
        three[1] = static_cast<std::uint8_t>((three[1] & 0xf0) | value >> 8);
      } else {
        three[1] = static_cast<std::uint8_t>((three[1] & 0x0f) | (value & 0xf) << 4);
        three[2] = static_cast<std::uint8_t>(value >> 4);
      }
      ASSERT_FALSE(encapsulate(key)) << i << " " << value;
    }
  }
}

TEST(MlKem768, FlippedBitsGiveAnotherSecret) {
  KeyPair pair = generate();
  auto sent = encapsulate(pair.public_key);
  ASSERT_TRUE(sent);
  for (std::size_t bit : {std::size_t{0}, std::size_t{4000}, kCiphertextBytes * 8 - 1}) {
    auto ciphertext = sent->ciphertext;
    ciphertext[bit / 8] ^= static_cast<std::uint8_t>(1 << bit % 8);
    auto received = decapsulate(pair.private_key.view(), ciphertext);
    ASSERT_TRUE(received);
    EXPECT_FALSE(std::ranges::equal(received->view(), sent->shared_secret.view()));
  }
}

TEST(MlKem768, RefusesMalformedKeysAndCiphertexts) {
  KeyPair pair = generate();
  EXPECT_FALSE(encapsulate(BytesView(pair.public_key).first(kPublicKeyBytes - 1)));
  EXPECT_FALSE(encapsulate({}));
  auto unreduced = pair.public_key;
  unreduced[0] = 0xff;
  unreduced[1] |= 0x0f;  // the first coefficient is 4095
  EXPECT_FALSE(encapsulate(unreduced));
  EXPECT_FALSE(decapsulate(pair.private_key.view(), Bytes(kCiphertextBytes + 1)));
  EXPECT_FALSE(decapsulate(pair.private_key.view(), {}));
}

}  // namespace
}  // namespace mezite::crypto
