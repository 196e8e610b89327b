// IP addresses and CIDR networks as source-address has them. For the files of this folder.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#include "base/result.hh"

namespace mezite::ssh {

// IPv4 is held as IPv4-mapped IPv6 (RFC 4291 §2.5.5.2), so that both families compare the same way.
struct IpAddress {
  std::array<std::uint8_t, 16> bytes{};
  bool operator==(const IpAddress&) const = default;
};

struct IpNetwork {
  IpAddress base;
  unsigned prefix_bits = 128;  // counted in the mapped form: an IPv4 /24 is 120

  bool contains(const IpAddress& address) const;
};

// "192.0.2.7", "2001:db8::1", "::ffff:192.0.2.7" (the same as the first). No zone, port, brackets or leading zeros.
Result<IpAddress> parse_ip_address(std::string_view text);

// "192.0.2.0/24" or an address alone. Bits behind the prefix must be zero, as OpenSSH demands; no blanks, no "/024".
Result<IpNetwork> parse_ip_network(std::string_view text);

}  // namespace mezite::ssh
