#include <gtest/gtest.h>

#include "crypto/aead.hh"
#include "crypto/argon2.hh"
#include "crypto/random.hh"

namespace mezite::crypto {
namespace {

TEST(AeadTest, RoundTripAndEveryFlippedBitIsRefused) {
  const Bytes key = random_bytes(32);
  const Bytes sealed = *aead_seal(key, as_bytes("the CA's key"), as_bytes("ca:user"));
  EXPECT_EQ(sealed.size(), 12u + 12u + 16u);
  EXPECT_EQ(aead_open(key, sealed, as_bytes("ca:user"))->text(), "the CA's key");
  for (std::size_t bit = 0; bit < sealed.size() * 8; ++bit) {
    Bytes damaged = sealed;
    damaged[bit / 8] ^= static_cast<std::uint8_t>(1u << bit % 8);
    const auto opened = aead_open(key, damaged, as_bytes("ca:user"));
    ASSERT_FALSE(opened);
    EXPECT_EQ(opened.error().code, ErrorCode::kCorrupt);
  }
}

TEST(AeadTest, BoundToKeyAndContext) {
  const Bytes key = random_bytes(32);
  const Bytes sealed = *aead_seal(key, as_bytes("x"), as_bytes("ca:user"));
  EXPECT_FALSE(aead_open(key, sealed, as_bytes("ca:host")));
  EXPECT_FALSE(aead_open(random_bytes(32), sealed, as_bytes("ca:user")));
  EXPECT_FALSE(aead_open(key, BytesView(sealed).first(27), as_bytes("ca:user")));
  EXPECT_FALSE(aead_open(key, {}, {}));
  EXPECT_FALSE(aead_seal(random_bytes(16), as_bytes("x"), {}));
  EXPECT_NE(sealed, *aead_seal(key, as_bytes("x"), as_bytes("ca:user")));  // fresh nonce
  EXPECT_TRUE(aead_open(key, *aead_seal(key, {}, {}), {})->empty());
}

TEST(AeadTest, SealsIntoRoomOfTheRightSizeOnly) {
  const Bytes key = random_bytes(32);
  Bytes room(1 + kAeadOverhead);
  ASSERT_TRUE(aead_seal(key, as_bytes("x"), as_bytes("ca:user"), room));
  EXPECT_EQ(aead_open(key, room, as_bytes("ca:user"))->text(), "x");
  EXPECT_FALSE(aead_seal(key, as_bytes("x"), {}, std::span(room).first(room.size() - 1)));
  EXPECT_FALSE(aead_seal(key, as_bytes("xy"), {}, room));
}

TEST(Argon2Test, KnownAnswerOfTheReferenceProgram) {
  // echo -n password | argon2 somesalt -id -t 2 -k 256 -p 1 (phc-winner-argon2, test.c, version 0x13).
  const auto key = derive_key(as_bytes("password"), as_bytes("somesalt"), {256, 2, 1}, 32);
  EXPECT_EQ(to_hex(key->view()), "9dfeb910e80bad0311fee20f9c0e2b12c17987b4cac90c2ef54d5b3021c68bfe");
}

TEST(Argon2Test, Passwords) {
  const std::string hash = *hash_password("correct horse", kCheapArgon2);
  EXPECT_TRUE(hash.starts_with("$argon2id$v=19$m=8,t=1,p=1$"));
  EXPECT_TRUE(*verify_password("correct horse", hash));
  EXPECT_FALSE(*verify_password("correct horsf", hash));
  EXPECT_FALSE(*verify_password("", hash));
  EXPECT_NE(hash, *hash_password("correct horse", kCheapArgon2));
  EXPECT_FALSE(password_needs_rehash(hash, kCheapArgon2));
  EXPECT_TRUE(password_needs_rehash(hash, {}));
}

TEST(Argon2Test, HostileHashesAreRefusedBeforeAnyWork) {
  for (const char* hash : {
           "",
           "plain",
           "$2b$12$abcdefghijklmnopqrstuv",
           "$argon2i$v=19$m=8,t=1,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEg",
           "$argon2id$v=16$m=8,t=1,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEg",
           "$argon2id$v=19$m=4294967295,t=1,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEg",
           "$argon2id$v=19$m=8,t=4000000000,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEg",
           "$argon2id$v=19$m=8,t=1,p=0$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEg",
           "$argon2id$v=19$m=8,t=1,p=1$c29$nf65EOgLrQMR/uIPnA4rEg",
           "$argon2id$v=19$m=8,t=1,p=1$c29tZXNhbHQ$",
           "$argon2id$v=19$m=8,t=1,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEg$",
       }) {
    const auto result = verify_password("x", hash);
    ASSERT_FALSE(result) << hash;
    EXPECT_EQ(result.error().code, ErrorCode::kCorrupt) << hash;
  }
}

}  // namespace
}  // namespace mezite::crypto
