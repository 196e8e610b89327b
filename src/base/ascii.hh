// Letters of ASCII and no other, whatever the locale: names of protocols, hosts and algorithms.
#pragma once

#include <string>
#include <string_view>

namespace mezite {

// The text with A–Z as a–z; all other bytes as they are.
inline std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return out;
}

}  // namespace mezite
