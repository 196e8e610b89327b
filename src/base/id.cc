#include "base/id.hh"

#include <sys/random.h>

#include <array>
#include <cerrno>
#include <cstdlib>

#include "base/bytes.hh"

namespace mezite {

std::string new_uuid() {
  std::array<std::uint8_t, 16> bytes{};
  // Sixteen bytes are never cut short once the kernel's pool is up; before that the call waits.
  while (::getrandom(bytes.data(), bytes.size(), 0) != static_cast<ssize_t>(bytes.size())) {
    if (errno != EINTR) std::abort();
  }
  bytes[6] = static_cast<std::uint8_t>((bytes[6] & 0x0f) | 0x40);
  bytes[8] = static_cast<std::uint8_t>((bytes[8] & 0x3f) | 0x80);
  std::string hex = to_hex(bytes);
  for (std::size_t at : {20u, 16u, 12u, 8u}) hex.insert(at, 1, '-');
  return hex;
}

}  // namespace mezite
