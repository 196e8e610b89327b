#include "crypto/sntrup761_ring.hh"

#include <string.h>

#include <algorithm>

namespace mezite::crypto::sntrup761 {
namespace {

// Arrays are a multiple of this many lanes, with zeros behind their elements; the bounds of loops are multiples of it.
constexpr std::size_t kStride = 16;
constexpr std::size_t kPadded = 768;
static_assert(kPadded % kStride == 0 && kPadded > kP);
constexpr std::size_t round_down(std::size_t x) { return x / kStride * kStride; }
constexpr std::size_t round_up(std::size_t x) { return round_down(x + kStride - 1); }

// ---- products

using Product = std::array<std::int32_t, 2 * kP - 1>;
// The small factor backwards between zeros, so that each coefficient of the product is a dot product of two runs.
using Backwards = std::array<std::int16_t, 2 * (kP - 1) + kPadded>;

// Sums stay below 761 * 2295 < 2^21.
[[gnu::always_inline]] inline void convolve(const std::array<std::int16_t, kPadded>& a, const Backwards& b,
                                            Product& product) {
  for (std::size_t k = 0; k < product.size(); ++k) {
    const std::size_t first = k < kP ? 0 : round_down(k - kP + 1);
    const std::size_t last = std::min(kPadded, round_up(k + 1));
    const std::int16_t* run = b.data() + 2 * (kP - 1) - k;
    std::int32_t sum = 0;
    for (std::size_t i = first; i < last; ++i) sum += std::int32_t{a[i]} * run[i];
    product[k] = sum;
  }
}

// ---- division steps (Bernstein and Yang, "Fast constant-time gcd computation and modular inversion", 2019)
//
// f and g begin as x^p - x - 1 and the argument, both reversed; v and r follow the cofactors. Each step either
// exchanges f and g (and v and r) or not, takes that multiple of f from g which clears g[0] (and of v from r), and
// divides g by x, which for the cofactors is v times x.

// One step of `delta`, which counts degrees: whether to exchange, all ones or zero.
inline std::int32_t exchange_mask(std::int32_t& delta, std::int32_t g0_nonzero) {
  const std::int32_t exchange = negative_mask(-delta) & g0_nonzero;
  delta = (delta ^ (exchange & (delta ^ -delta))) + 1;
  return exchange;
}

// 1/q modulo 2^16.
constexpr std::int16_t kQInverse = [] {
  std::uint32_t inverse = 1;
  for (int i = 0; i < 4; ++i) inverse *= 2 - static_cast<std::uint32_t>(kQ) * inverse;
  return static_cast<std::int16_t>(inverse & 0xffff);
}();
static_assert(static_cast<std::uint16_t>(kQInverse * kQ) == 1);

// A factor of Montgomery multiplications.
struct Factor {
  explicit Factor(std::int32_t x)
      : value(static_cast<std::int16_t>(x)), scaled(static_cast<std::int16_t>(x * kQInverse)) {}
  std::int16_t value, scaled;
};
// factor * x / 2^16 modulo q, |result| <= |factor * x| / 2^16 + q / 2.
[[gnu::always_inline]] inline std::int16_t times(Factor factor, std::int16_t x) {
  const auto low = static_cast<std::int16_t>(x * factor.scaled);
  const auto high = static_cast<std::int16_t>((x * factor.value) >> 16);
  return static_cast<std::int16_t>(high - static_cast<std::int16_t>((low * kQ) >> 16));
}

// In int16 lanes. A step scales both results by 2^-16, which cancels in the end as it does for f and v. With |f|, |g|
// <= 7200 a step gives at most 2 * (7200^2 / 2^16 + 2296) < 6200 in size, so nothing is ever brought back to its
// centre.
struct StepsQ {
  using Lane = std::array<std::int16_t, kPadded + kStride>;
  Lane f{}, g{};  // g[i + 1] is the coefficient of x^i
  Lane v{}, r{};  // backwards: [kP - i] is the coefficient of x^i

  [[gnu::always_inline]] inline void step(std::size_t number, std::int16_t exchange, Factor f0, Factor g0) {
    // What is above these coefficients reaches f[0] in no later step.
    const std::size_t needed = std::min(kPadded, round_up(2 * kP - 1 - number));
    for (std::size_t i = 0; i < needed; ++i) {
      const auto flip = static_cast<std::int16_t>(exchange & (f[i] ^ g[i + 1]));
      const auto new_f = static_cast<std::int16_t>(f[i] ^ flip);
      const auto old_g = static_cast<std::int16_t>(g[i + 1] ^ flip);
      f[i] = new_f;
      g[i] = static_cast<std::int16_t>(times(f0, old_g) - times(g0, new_f));
    }
    // The degrees of v and r are at most the number of the step.
    for (std::size_t i = number < kP ? round_down(kP - 1 - number) : 0; i < kPadded; ++i) {
      const auto flip = static_cast<std::int16_t>(exchange & (v[i + 1] ^ r[i]));
      const auto new_v = static_cast<std::int16_t>(v[i + 1] ^ flip);
      const auto old_r = static_cast<std::int16_t>(r[i] ^ flip);
      v[i] = new_v;
      r[i] = static_cast<std::int16_t>(times(f0, old_r) - times(g0, new_v));
    }
  }

  [[gnu::always_inline]] inline void run() {
    std::int32_t delta = 1;
    for (std::size_t number = 0; number < 2 * kP - 1; ++number) {
      const std::int32_t exchange = exchange_mask(delta, nonzero_mask(centre<kQ>(g[1])));
      const std::int32_t flip = exchange & (f[0] ^ g[1]);
      step(number, static_cast<std::int16_t>(exchange), Factor(f[0] ^ flip), Factor(g[1] ^ flip));
    }
  }
};

// 1/x modulo q, as x^(q-2).
std::int32_t invert_q(std::int32_t x) {
  std::int32_t out = 1;
  for (int bit = 12; bit >= 0; --bit) {
    out = centre<kQ>(out * out);
    if ((kQ - 2) >> bit & 1) out = centre<kQ>(out * x);
  }
  return out;
}

// Elements of R/3 as two bits a coefficient in words of 64: one set has the ones, the other the minus ones.
struct Trits {
  static constexpr std::size_t kWords = kPadded / 64;
  std::array<std::uint64_t, kWords> plus{}, minus{};

  void set(std::size_t i, std::int32_t value) {
    plus[i / 64] |= static_cast<std::uint64_t>(negative_mask(-value) & 1) << i % 64;
    minus[i / 64] |= static_cast<std::uint64_t>(negative_mask(value) & 1) << i % 64;
  }
  std::int32_t get(std::size_t i) const {
    return static_cast<std::int32_t>(plus[i / 64] >> i % 64 & 1) -
           static_cast<std::int32_t>(minus[i / 64] >> i % 64 & 1);
  }
  void times_x() {
    for (auto* bits : {&plus, &minus}) {
      for (std::size_t i = kWords - 1; i > 0; --i) (*bits)[i] = (*bits)[i] << 1 | (*bits)[i - 1] >> 63;
      (*bits)[0] <<= 1;
    }
  }
  void over_x() {
    for (auto* bits : {&plus, &minus}) {
      for (std::size_t i = 0; i + 1 < kWords; ++i) (*bits)[i] = (*bits)[i] >> 1 | (*bits)[i + 1] << 63;
      (*bits)[kWords - 1] >>= 1;
    }
  }
  // += factor * other; the factor is 1 where `add` is all ones, -1 where `subtract` is.
  void add_multiple(const Trits& other, std::uint64_t add, std::uint64_t subtract) {
    for (std::size_t i = 0; i < kWords; ++i) {
      const std::uint64_t other_plus = (other.plus[i] & add) | (other.minus[i] & subtract);
      const std::uint64_t other_minus = (other.minus[i] & add) | (other.plus[i] & subtract);
      const std::uint64_t differ = (plus[i] | other_minus) ^ (minus[i] | other_plus);
      const std::uint64_t sum_plus = (minus[i] | other_minus) ^ differ;
      minus[i] = (plus[i] | other_plus) ^ differ;
      plus[i] = sum_plus;
    }
  }
  static void exchange(Trits& a, Trits& b, std::uint64_t mask) {
    for (auto bits : {&Trits::plus, &Trits::minus}) {
      for (std::size_t i = 0; i < kWords; ++i) {
        const std::uint64_t flip = mask & ((a.*bits)[i] ^ (b.*bits)[i]);
        (a.*bits)[i] ^= flip, (b.*bits)[i] ^= flip;
      }
    }
  }
};

constexpr std::uint64_t widen(std::int32_t mask) { return static_cast<std::uint64_t>(std::int64_t{mask}); }

// ---- sorting

// Batcher's merge exchange (Knuth, 5.2.2, algorithm M), where the pairs of a pass come in runs.
[[gnu::always_inline]] inline void sort_in_runs(std::array<std::uint32_t, kP>& a) {
  constexpr std::size_t kTop = 512;  // the largest power of two below kP
  for (std::size_t p = kTop; p > 0; p /= 2) {
    std::size_t q = kTop, r = 0, d = p;
    for (;;) {
      for (std::size_t base = r; base + d < kP; base += 2 * p) {
        std::uint32_t* __restrict low = a.data() + base;
        std::uint32_t* __restrict high = a.data() + base + d;  // d >= p: the two runs have nothing in common
        const std::size_t run = std::min(p, kP - d - base);
        for (std::size_t i = 0; i < run; ++i) {
          const std::uint32_t x = high[i], y = low[i], difference = x - y;
          const std::uint32_t borrow = ((~x & y) | ((~x | y) & difference)) >> 31;  // x < y
          const std::uint32_t flip = (x ^ y) & (0u - borrow);
          high[i] = x ^ flip;
          low[i] = y ^ flip;
        }
      }
      if (q == p) break;
      d = q - p;
      q /= 2;
      r = p;
    }
  }
}

// ---- the same for other instructions

#if defined(__x86_64__)
[[gnu::target("avx2")]] void convolve_wide(const std::array<std::int16_t, kPadded>& a, const Backwards& b,
                                           Product& out) {
  convolve(a, b, out);
}
[[gnu::target("avx2")]] void run_wide(StepsQ& steps) { steps.run(); }
[[gnu::target("avx2")]] void sort_wide(std::array<std::uint32_t, kP>& list) { sort_in_runs(list); }
#else
constexpr auto convolve_wide = convolve;
void run_wide(StepsQ& steps) { steps.run(); }
constexpr auto sort_wide = sort_in_runs;
#endif
void convolve_baseline(const std::array<std::int16_t, kPadded>& a, const Backwards& b, Product& out) {
  convolve(a, b, out);
}
void run_baseline(StepsQ& steps) { steps.run(); }
void sort_baseline(std::array<std::uint32_t, kP>& list) { sort_in_runs(list); }

template <std::int32_t M>
Poly multiply(const Poly& a, const Poly& small, Lanes lanes) {
  std::array<std::int16_t, kPadded> padded{};
  std::ranges::copy(a, padded.begin());
  Backwards backwards{};
  for (std::size_t i = 0; i < kP; ++i) backwards[kP - 1 + i] = small[kP - 1 - i];
  Product product;
  (lanes == Lanes::kWide ? convolve_wide : convolve_baseline)(padded, backwards, product);
  // x^p = x + 1.
  for (std::size_t i = 2 * kP - 2; i >= kP; --i) {
    product[i - kP] += product[i];
    product[i - kP + 1] += product[i];
  }
  Poly out;
  for (std::size_t i = 0; i < kP; ++i) out[i] = static_cast<std::int16_t>(centre<M>(product[i]));
  ::explicit_bzero(padded.data(), sizeof padded);
  ::explicit_bzero(backwards.data(), sizeof backwards);
  ::explicit_bzero(product.data(), sizeof product);
  return out;
}

}  // namespace

Lanes best_lanes() {
#if defined(__x86_64__)
  static const Lanes kBest = __builtin_cpu_supports("avx2") ? Lanes::kWide : Lanes::kBaseline;
  return kBest;
#else
  return Lanes::kBaseline;
#endif
}

Poly multiply_q(const Poly& a, const Poly& small, Lanes lanes) { return multiply<kQ>(a, small, lanes); }
Poly multiply_3(const Poly& a, const Poly& small, Lanes lanes) { return multiply<3>(a, small, lanes); }

Poly reciprocal_of_triple_q(const Poly& f, Lanes lanes) {
  StepsQ steps;
  steps.f[0] = 1;
  steps.f[kP - 1] = steps.f[kP] = -1;
  for (std::size_t i = 0; i < kP; ++i) steps.g[kP - i] = f[i];
  steps.r[kP] = -1530;  // 1/3
  (lanes == Lanes::kWide ? run_wide : run_baseline)(steps);
  const std::int32_t scale = invert_q(centre<kQ>(steps.f[0]));
  Poly out;
  for (std::size_t i = 0; i < kP; ++i) {
    out[i] = static_cast<std::int16_t>(centre<kQ>(scale * centre<kQ>(steps.v[i + 1])));
  }
  ::explicit_bzero(&steps, sizeof steps);
  return out;
}

Poly reciprocal_3(const Poly& argument, std::int32_t* invertible) {
  Trits f, g, v, r;
  f.set(0, 1);
  f.set(kP - 1, -1);
  f.set(kP, -1);
  for (std::size_t i = 0; i < kP; ++i) g.set(kP - 1 - i, argument[i]);
  r.set(0, 1);
  std::int32_t delta = 1;
  for (std::size_t number = 0; number < 2 * kP - 1; ++number) {
    v.times_x();
    const auto exchange = widen(exchange_mask(delta, nonzero_mask(g.get(0))));
    Trits::exchange(f, g, exchange);
    Trits::exchange(v, r, exchange);
    const std::int32_t same_sign = f.get(0) * g.get(0);  // f[0] is 1 or -1
    const auto add = widen(negative_mask(same_sign)), subtract = widen(negative_mask(-same_sign));
    g.add_multiple(f, add, subtract);
    r.add_multiple(v, add, subtract);
    g.over_x();
  }
  const std::int32_t sign = f.get(0);
  Poly out;
  for (std::size_t i = 0; i < kP; ++i) out[i] = static_cast<std::int16_t>(sign * v.get(kP - 1 - i));
  *invertible = 1 & ~nonzero_mask(delta);
  for (Trits* secret : {&f, &g, &v, &r}) ::explicit_bzero(secret, sizeof *secret);
  return out;
}

void sort(std::array<std::uint32_t, kP>& list, Lanes lanes) {
  (lanes == Lanes::kWide ? sort_wide : sort_baseline)(list);
}

}  // namespace mezite::crypto::sntrup761
