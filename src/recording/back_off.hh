// How long to wait after failures in a row: twice as long each time, between half and all of it, so that a thousand who
// failed together don't come back in step.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>

namespace mezite::recording {

// random: a state, changed by each call (splitmix64).
inline std::chrono::milliseconds back_off(int failures, std::chrono::milliseconds first,
                                          std::chrono::milliseconds longest, std::uint64_t& random) {
  const auto full = std::min(first * (1 << std::clamp(failures - 1, 0, 12)), longest);
  random += 0x9e3779b97f4a7c15;
  std::uint64_t mixed = (random ^ (random >> 30)) * 0xbf58476d1ce4e5b9;
  mixed = (mixed ^ (mixed >> 27)) * 0x94d049bb133111eb;
  const auto half = static_cast<std::uint64_t>(full.count()) / 2;
  return std::chrono::milliseconds(half + (mixed ^ (mixed >> 31)) % (half + 1));
}

}  // namespace mezite::recording
