// How long to wait after failures in a row: twice as long each time, up to a limit, and of that between half and all,
// so that a thousand who failed together don't come back in step.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>

namespace mezite {

// failures: 1 and more; random: any number, another one each time.
inline std::chrono::milliseconds back_off(std::int64_t failures, std::chrono::milliseconds first,
                                          std::chrono::milliseconds longest, std::uint64_t random) {
  const auto full = std::min(first * (std::int64_t{1} << std::clamp<std::int64_t>(failures - 1, 0, 20)), longest);
  const auto half = full / 2;
  return half + std::chrono::milliseconds(random % (static_cast<std::uint64_t>(half.count()) + 1));
}

// Numbers for it where an agent's or a test's seed says which (splitmix64).
class Jitter {
 public:
  explicit Jitter(std::uint64_t seed) : state_(seed) {}
  std::uint64_t operator()() {
    state_ += 0x9e3779b97f4a7c15;
    std::uint64_t mixed = (state_ ^ (state_ >> 30)) * 0xbf58476d1ce4e5b9;
    mixed = (mixed ^ (mixed >> 27)) * 0x94d049bb133111eb;
    return mixed ^ (mixed >> 31);
  }

 private:
  std::uint64_t state_;
};

}  // namespace mezite
