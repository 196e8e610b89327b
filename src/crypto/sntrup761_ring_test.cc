#include "crypto/sntrup761_ring.hh"

#include <gtest/gtest.h>

#include <algorithm>

#include "crypto/random.hh"

namespace mezite::crypto::sntrup761 {
namespace {

// As the definition says: every product, then x^p = x + 1, then the remainder.
Poly multiply_by_definition(const Poly& a, const Poly& b, std::int64_t modulus) {
  std::array<std::int64_t, 2 * kP> sums{};
  for (std::size_t i = 0; i < kP; ++i) {
    for (std::size_t j = 0; j < kP; ++j) sums[i + j] += std::int64_t{a[i]} * b[j];
  }
  for (std::size_t i = 2 * kP - 1; i >= kP; --i) {
    sums[i - kP] += sums[i];
    sums[i - kP + 1] += sums[i];
  }
  Poly out;
  for (std::size_t i = 0; i < kP; ++i) {
    std::int64_t r = sums[i] % modulus;
    if (r > modulus / 2) r -= modulus;
    if (r < -(modulus / 2)) r += modulus;
    out[i] = static_cast<std::int16_t>(r);
  }
  return out;
}

Poly random_poly(std::uint64_t modulus) {
  Poly out;
  for (auto& c : out) {
    c = static_cast<std::int16_t>(static_cast<std::int64_t>(random_u64() % modulus) - static_cast<int>(modulus / 2));
  }
  return out;
}

Poly constant(std::int16_t value) {
  Poly out{};
  out[0] = value;
  return out;
}

class Ring : public testing::TestWithParam<Lanes> {
 protected:
  void SetUp() override {
    if (GetParam() == Lanes::kWide && best_lanes() != Lanes::kWide) GTEST_SKIP() << "no AVX2 here";
  }
};
INSTANTIATE_TEST_SUITE_P(Sntrup761, Ring, testing::Values(Lanes::kBaseline, Lanes::kWide),
                         [](const auto& tested) { return tested.param == Lanes::kWide ? "Wide" : "Baseline"; });

TEST_P(Ring, ProductsAreThoseOfTheDefinition) {
  for (int round = 0; round < 5; ++round) {
    const Poly a = random_poly(kQ), small = random_poly(3);
    EXPECT_EQ(multiply_q(a, small, GetParam()), multiply_by_definition(a, small, kQ));
    EXPECT_EQ(multiply_3(small, small, GetParam()), multiply_by_definition(small, small, 3));
  }
  Poly most, ones;
  most.fill(kQ / 2);
  ones.fill(1);
  EXPECT_EQ(multiply_q(most, ones, GetParam()), multiply_by_definition(most, ones, kQ));
}

TEST_P(Ring, ReciprocalTimesItselfIsOne) {
  for (int round = 0; round < 20; ++round) {
    const Poly f = random_poly(3);
    EXPECT_EQ(multiply_q(multiply_q(reciprocal_of_triple_q(f, GetParam()), f, GetParam()), constant(1), GetParam()),
              constant(-1530));  // 1/3
  }
  // Sparse ones as well.
  for (const std::size_t at : {std::size_t{0}, std::size_t{1}, kP - 1}) {
    Poly f{};
    f[at] = -1;
    EXPECT_EQ(multiply_q(reciprocal_of_triple_q(f, GetParam()), f, GetParam()), constant(-1530)) << at;
  }
}

TEST_P(Ring, Sorts) {
  for (int round = 0; round < 10; ++round) {
    std::array<std::uint32_t, kP> list;
    for (auto& x : list) x = static_cast<std::uint32_t>(random_u64()) >> (round * 3);
    list[5] = 0xffffffff, list[700] = 0, list[300] = 0x80000000, list[301] = 0x7fffffff;
    auto want = list;
    std::ranges::sort(want);
    sort(list, GetParam());
    EXPECT_EQ(list, want);
  }
}

TEST(Sntrup761Ring, ReciprocalsModuloThree) {
  int with = 0;
  for (int round = 0; round < 50; ++round) {
    const Poly g = random_poly(3);
    std::int32_t invertible = -1;
    const Poly inverse = reciprocal_3(g, &invertible);
    if (invertible == 1) {
      ++with;
      EXPECT_EQ(multiply_3(inverse, g), constant(1));
    } else {
      EXPECT_EQ(invertible, 0);
    }
  }
  EXPECT_GT(with, 20);
  std::int32_t invertible = -1;
  reciprocal_3(Poly{}, &invertible);
  EXPECT_EQ(invertible, 0);
}

TEST(Sntrup761Ring, CentresAreThoseOfTheRemainder) {
  for (std::int32_t x = -(1 << 24) + 1; x < 1 << 24; x += 97) {
    const std::int32_t r = centre<kQ>(x), s = centre<3>(x);
    ASSERT_TRUE(r >= -kQ / 2 && r <= kQ / 2 && (x - r) % kQ == 0) << x;
    ASSERT_TRUE(s >= -1 && s <= 1 && (x - s) % 3 == 0) << x;
  }
}

}  // namespace
}  // namespace mezite::crypto::sntrup761
