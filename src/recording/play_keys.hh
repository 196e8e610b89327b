// The keys of the player, out of the bytes that a terminal sends for them.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace mezite::recording {

enum class PlayKey { kQuit, kPause, kStep, kFaster, kSlower, kBack, kForward, kFarBack, kFarForward, kTenth };

struct PlayKeyPress {
  PlayKey key;
  int tenth = 0;  // of kTenth: 0 to 9
  bool operator==(const PlayKeyPress&) const = default;
};

class PlayKeys {
 public:
  // A sequence that was cut in two is kept until its rest comes. What is no key of ours is passed over.
  std::vector<PlayKeyPress> push(std::string_view bytes);

 private:
  std::string pending_;
};

inline constexpr std::string_view kPlayKeysHelp =
    "space pauses, . steps, left and right go 5s, down and up a minute, 0-9 tenths, + and - change the speed, q ends";

}  // namespace mezite::recording
