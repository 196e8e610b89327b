// Socket addresses as text: numeric, IPv4-mapped IPv6 shown as IPv4.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.hh"

namespace mezite::net {

// The address of a peer or of a listener.
struct Address {
  std::string ip;  // "203.0.113.7", "2001:db8::1"; empty for a Unix socket
  std::uint16_t port = 0;

  std::string text() const;  // "203.0.113.7:50122", "[2001:db8::1]:22"
  bool operator==(const Address&) const = default;
};

// Of a connected or listening socket; empty when the kernel has none.
Address peer_address(int fd);
Address local_address(int fd);

struct HostPort {
  std::string host;  // empty: every address (for listening)
  std::uint16_t port = 0;

  std::string text() const;
  bool operator==(const HostPort&) const = default;
};

// "hub.example:3080", ":3024", "[::1]:22", "0.0.0.0:3025"; "hub" only with a default_port other than 0.
Result<HostPort> parse_host_port(std::string_view text, std::uint16_t default_port = 0);

// Is it a numeric IPv4 or IPv6 address?
bool is_ip_address(std::string_view text);

}  // namespace mezite::net
