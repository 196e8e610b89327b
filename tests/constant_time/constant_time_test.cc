// To be run under valgrind; README.md says how it works.
#define OPENSSL_SUPPRESS_DEPRECATED
#include <gtest/gtest.h>

#include <openssl/rand.h>
#include <valgrind/memcheck.h>

#include <algorithm>

#include "crypto/mlkem768.hh"
#include "crypto/sntrup761.hh"
#include "crypto/sntrup761_ring.hh"

namespace mezite::crypto {
namespace {

void make_secret(BytesView bytes) { VALGRIND_MAKE_MEM_UNDEFINED(bytes.data(), bytes.size()); }
template <class T>
void make_secret(const T& value) {
  VALGRIND_MAKE_MEM_UNDEFINED(&value, sizeof value);
}
template <class T>
void make_public(const T& value) {
  VALGRIND_MAKE_MEM_DEFINED(&value, sizeof value);
}

// Whether what is there came from secrets: a check whose secrets got lost would find nothing.
bool is_secret(BytesView bytes) {
  Bytes bits(bytes.size());
  VALGRIND_GET_VBITS(bytes.data(), bits.data(), bytes.size());
  return std::ranges::find(bits, 0xff) != bits.end();
}

// Random bytes are secrets.
int fill(unsigned char* out, int size) {
  static std::uint64_t state = 1;
  for (int i = 0; i < size; ++i) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    out[i] = static_cast<unsigned char>(state >> 56);
  }
  make_secret(BytesView(out, static_cast<std::size_t>(size)));
  return 1;
}
int always() { return 1; }
const RAND_METHOD kSecretRandom{nullptr, fill, nullptr, nullptr, fill, always};

class ConstantTime : public testing::Test {
 protected:
  static void SetUpTestSuite() { RAND_set_rand_method(&kSecretRandom); }
  void SetUp() override { ASSERT_NE(RUNNING_ON_VALGRIND, 0) << "run it under valgrind"; }

  // How often something depended on a secret.
  template <class Work>
  static std::size_t findings(Work work) {
    const auto before = VALGRIND_COUNT_ERRORS;
    work();
    return VALGRIND_COUNT_ERRORS - before;
  }
};

TEST_F(ConstantTime, MlKem768) {
  mlkem768::KeyPair pair;
  EXPECT_EQ(findings([&] { pair = mlkem768::generate(); }), 0u);
  auto sent = mlkem768::encapsulate(pair.public_key);
  EXPECT_EQ(findings([&] { sent = mlkem768::encapsulate(pair.public_key); }), 0u);
  ASSERT_TRUE(sent);
  EXPECT_TRUE(is_secret(sent->ciphertext) && is_secret(sent->shared_secret.view()));
  make_public(sent->ciphertext);
  // s || ek || H(ek) || z
  const BytesView key = pair.private_key.view();
  const std::size_t public_from = key.size() - 64 - mlkem768::kPublicKeyBytes, public_to = key.size() - 32;
  VALGRIND_MAKE_MEM_DEFINED(key.data() + public_from, public_to - public_from);
  EXPECT_TRUE(is_secret(key.first(32)));
  Result<Secret> received = Secret();
  EXPECT_EQ(findings([&] { received = mlkem768::decapsulate(key, sent->ciphertext); }), 0u);
  EXPECT_TRUE(is_secret(received->view()));
  sent->ciphertext[7] ^= 1;  // another ciphertext takes the same way
  EXPECT_EQ(findings([&] { received = mlkem768::decapsulate(key, sent->ciphertext); }), 0u);
}

TEST_F(ConstantTime, Sntrup761) {
  using namespace sntrup761;
  KeyPair pair;
  EXPECT_EQ(findings([&] { pair = generate(); }), 0u);
  auto sent = encapsulate(pair.public_key);
  EXPECT_EQ(findings([&] { sent = encapsulate(pair.public_key); }), 0u);
  ASSERT_TRUE(sent);
  EXPECT_TRUE(is_secret(sent->ciphertext) && is_secret(sent->shared_secret.view()));
  make_public(sent->ciphertext);
  // f || 1/g || public key || fallback || hash of the public key
  const BytesView key = pair.private_key.view();
  const std::size_t small = (kP + 3) / 4;
  VALGRIND_MAKE_MEM_DEFINED(key.data() + 2 * small, kPublicKeyBytes);
  VALGRIND_MAKE_MEM_DEFINED(key.data() + key.size() - 32, 32);
  EXPECT_TRUE(is_secret(key.first(32)));
  Result<Secret> received = Secret();
  EXPECT_EQ(findings([&] { received = decapsulate(key, sent->ciphertext); }), 0u);
  EXPECT_TRUE(is_secret(received->view()));
  sent->ciphertext[7] ^= 1;
  EXPECT_EQ(findings([&] { received = decapsulate(key, sent->ciphertext); }), 0u);
}

// Valgrind's processor has AVX2 when the machine has; this is what others run.
TEST_F(ConstantTime, Sntrup761WithoutWideInstructions) {
  using namespace sntrup761;
  Poly f{}, g{};
  for (std::size_t i = 0; i < kP; ++i)
    f[i] = static_cast<std::int16_t>(i % 3) - 1, g[i] = static_cast<std::int16_t>(i % 2);
  std::array<std::uint32_t, kP> list{};
  make_secret(f);
  make_secret(g);
  make_secret(list);
  std::int32_t invertible = 0;
  EXPECT_EQ(findings([&] {
              f = multiply_q(reciprocal_of_triple_q(f, Lanes::kBaseline), g, Lanes::kBaseline);
              f = multiply_3(f, reciprocal_3(g, &invertible), Lanes::kBaseline);
              sort(list, Lanes::kBaseline);
            }),
            0u);
}

TEST_F(ConstantTime, ComparisonOfSecrets) {
  const Bytes a(64, 1), b(64, 1), c(64, 2);
  make_secret(BytesView(a));
  make_secret(BytesView(b));
  bool same = false, other = true;
  EXPECT_EQ(findings([&] {
              same = equal_constant_time(a, b);
              other = equal_constant_time(a, c);
            }),
            0u);
  make_public(same);
  make_public(other);
  EXPECT_TRUE(same);
  EXPECT_FALSE(other);
}

// ---- that it would be seen

[[gnu::noinline]] bool leaky_comparison(BytesView a, BytesView b) {
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (a[i] != b[i]) return false;
  }
  return true;
}
[[gnu::noinline]] std::uint8_t leaky_lookup(const Bytes& table, const Bytes& places) {
  std::uint8_t out = 0;
  for (const std::uint8_t place : places) out = static_cast<std::uint8_t>(out + table[place]);
  return out;
}

TEST_F(ConstantTime, ALeakIsSeen) {
  const Bytes table(256, 3), secret(16, 5), same(16, 5);
  make_secret(BytesView(secret));
  EXPECT_GT(findings([&] { EXPECT_TRUE(leaky_comparison(secret, same)); }), 0u);
  EXPECT_GT(findings([&] {
              volatile std::uint8_t sum = leaky_lookup(table, secret);
              static_cast<void>(sum);
            }),
            0u);
}

}  // namespace
}  // namespace mezite::crypto
