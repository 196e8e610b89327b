#include "ssh/keys/address_list.hh"

#include <arpa/inet.h>

#include <algorithm>
#include <charconv>
#include <span>
#include <string>

#include "base/text.hh"

namespace mezite::ssh {
namespace {

constexpr std::array<std::uint8_t, 12> kMappedPrefix = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

bool is_mapped(const IpAddress& address) {
  return std::ranges::equal(kMappedPrefix, std::span(address.bytes).first<12>());
}

}  // namespace

bool IpNetwork::contains(const IpAddress& address) const {
  // A short IPv6 prefix such as "::/0" is about IPv6 only.
  if (prefix_bits < 96 && is_mapped(address)) return false;
  const unsigned whole = prefix_bits / 8;
  if (!std::equal(base.bytes.begin(), base.bytes.begin() + whole, address.bytes.begin())) return false;
  const unsigned left = prefix_bits % 8;
  if (left == 0) return true;
  const auto mask = static_cast<std::uint8_t>(0xff << (8 - left));
  return (base.bytes[whole] & mask) == (address.bytes[whole] & mask);
}

Result<IpAddress> parse_ip_address(std::string_view text) {
  IpAddress address;
  // inet_pton stops at a NUL, so one inside the text is refused before.
  const std::string terminated(text.substr(0, INET6_ADDRSTRLEN));
  if (text.size() < INET6_ADDRSTRLEN && text.find('\0') == std::string_view::npos) {
    if (text.find(':') == std::string_view::npos) {
      std::ranges::copy(kMappedPrefix, address.bytes.begin());
      if (::inet_pton(AF_INET, terminated.c_str(), address.bytes.data() + 12) == 1) return address;
    } else if (::inet_pton(AF_INET6, terminated.c_str(), address.bytes.data()) == 1) {
      return address;
    }
  }
  return fail(ErrorCode::kInvalidArgument, "'{}' is not an IP address", printable(terminated));
}

Result<IpNetwork> parse_ip_network(std::string_view text) {
  const std::size_t slash = text.find('/');
  MEZ_TRY(const IpAddress base, parse_ip_address(text.substr(0, slash)));
  IpNetwork network{base, 128};
  if (slash == std::string_view::npos) return network;
  const bool v4 = text.substr(0, slash).find(':') == std::string_view::npos;
  const std::string_view digits = text.substr(slash + 1);
  unsigned bits = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), bits);
  if (digits.empty() || error != std::errc() || end != digits.data() + digits.size() ||
      (digits.size() > 1 && digits[0] == '0') || bits > (v4 ? 32u : 128u)) {
    return fail(ErrorCode::kInvalidArgument, "'{}' is not a network prefix", printable(text.substr(0, 64)));
  }
  network.prefix_bits = v4 ? bits + 96 : bits;
  for (unsigned bit = network.prefix_bits; bit < 128; ++bit) {
    if (base.bytes[bit / 8] >> (7 - bit % 8) & 1) {
      return fail(ErrorCode::kInvalidArgument, "'{}' has address bits behind its prefix",
                  printable(text.substr(0, 64)));
    }
  }
  return network;
}

}  // namespace mezite::ssh
