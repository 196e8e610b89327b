#include "audit/sink/public_address.hh"

#include <netinet/in.h>

#include <array>
#include <cstdint>
#include <cstring>

namespace mezite::audit {

namespace {

struct Range4 {
  std::uint32_t first;
  int bits;
};

constexpr std::uint32_t ip4(unsigned a, unsigned b, unsigned c, unsigned d) { return a << 24 | b << 16 | c << 8 | d; }

// IANA's registry of special-purpose IPv4 addresses (RFC 6890), multicast and the class that is reserved.
constexpr std::array kSpecial4{
    Range4{ip4(0, 0, 0, 0), 8},      Range4{ip4(10, 0, 0, 0), 8},     Range4{ip4(100, 64, 0, 0), 10},
    Range4{ip4(127, 0, 0, 0), 8},    Range4{ip4(169, 254, 0, 0), 16}, Range4{ip4(172, 16, 0, 0), 12},
    Range4{ip4(192, 0, 0, 0), 24},   Range4{ip4(192, 0, 2, 0), 24},   Range4{ip4(192, 88, 99, 0), 24},
    Range4{ip4(192, 168, 0, 0), 16}, Range4{ip4(198, 18, 0, 0), 15},  Range4{ip4(198, 51, 100, 0), 24},
    Range4{ip4(203, 0, 113, 0), 24}, Range4{ip4(224, 0, 0, 0), 4},    Range4{ip4(240, 0, 0, 0), 4},
};

bool is_public4(std::uint32_t address) {
  for (const Range4& range : kSpecial4) {
    if ((address ^ range.first) >> (32 - range.bits) == 0) return false;
  }
  return true;
}

std::uint32_t read4(const std::uint8_t* bytes) { return ip4(bytes[0], bytes[1], bytes[2], bytes[3]); }

bool is_public6(const std::array<std::uint8_t, 16>& address) {
  static constexpr std::array<std::uint8_t, 12> kMapped{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
  if (std::memcmp(address.data(), kMapped.data(), kMapped.size()) == 0) return is_public4(read4(&address[12]));
  if ((address[0] & 0xe0) != 0x20) return false;  // 2000::/3 is all there is of global unicast
  if (address[0] == 0x20 && address[1] == 0x02) return is_public4(read4(&address[2]));  // 6to4
  // 2001::/23 (Teredo, ORCHID, …) and 2001:db8::/32
  if (address[0] == 0x20 && address[1] == 0x01 && (address[2] < 2 || (address[2] == 0x0d && address[3] == 0xb8))) {
    return false;
  }
  return address[0] != 0x3f || address[1] != 0xff;  // 3fff::/20 is documentation; nothing else is given out there
}

}  // namespace

bool is_public_address(const sockaddr& address) {
  if (address.sa_family == AF_INET) {
    sockaddr_in in{};
    std::memcpy(&in, &address, sizeof in);
    return is_public4(ntohl(in.sin_addr.s_addr));
  }
  if (address.sa_family == AF_INET6) {
    sockaddr_in6 in{};
    std::memcpy(&in, &address, sizeof in);
    std::array<std::uint8_t, 16> bytes{};
    std::memcpy(bytes.data(), &in.sin6_addr, bytes.size());
    return is_public6(bytes);
  }
  return false;
}

}  // namespace mezite::audit
