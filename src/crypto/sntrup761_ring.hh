// The arithmetic of sntrup761, for sntrup761.cc: R = Z[x]/(x^761 - x - 1), and R/3 and R/q = R/4591 with coefficients
// kept centred on zero. Time does not depend on coefficients. Elements are int16 lanes in loops that compilers
// vectorise.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace mezite::crypto::sntrup761 {

inline constexpr std::size_t kP = 761;
inline constexpr std::int32_t kQ = 4591;

using Poly = std::array<std::int16_t, kP>;

// The same results by other instructions: kWide needs AVX2.
enum class Lanes { kBaseline, kWide };
Lanes best_lanes();

// All ones when x is negative, else zero.
constexpr std::int32_t negative_mask(std::int32_t x) { return x >> 31; }
// All ones when x is not zero, for |x| < 2^31.
constexpr std::int32_t nonzero_mask(std::int32_t x) { return negative_mask(x) | negative_mask(-x); }

// x mod M in [-(M-1)/2, (M-1)/2] for |x| < 2^24, without a division.
template <std::int32_t M>
constexpr std::int32_t centre(std::int32_t x) {
  constexpr std::int64_t kReciprocal = (std::int64_t{1} << 32) / M;
  std::int64_t quotient = (std::int64_t{x} * kReciprocal + (std::int64_t{1} << 31)) >> 32;
  std::int32_t r = x - static_cast<std::int32_t>(quotient) * M;
  r -= M & ~negative_mask(r - (M + 1) / 2);  // r > (M-1)/2
  r += M & negative_mask(r + (M - 1) / 2);   // r < -(M-1)/2
  return r;
}

// a * small, where small has coefficients in {-1, 0, 1} and |a| <= 2295.
Poly multiply_q(const Poly& a, const Poly& small, Lanes lanes = best_lanes());
Poly multiply_3(const Poly& a, const Poly& small, Lanes lanes = best_lanes());

// 1 / (3 f) in R/q, which is a field. f is small and not zero.
Poly reciprocal_of_triple_q(const Poly& f, Lanes lanes = best_lanes());
// 1 / g in R/3, for a small g. Not every g has one: *invertible is 1 or 0, and then the result means nothing.
Poly reciprocal_3(const Poly& g, std::int32_t* invertible);

// Ascending, by the same comparisons for every input.
void sort(std::array<std::uint32_t, kP>& list, Lanes lanes = best_lanes());

}  // namespace mezite::crypto::sntrup761
