#include "net/address.hh"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <array>
#include <charconv>

#include "base/text.hh"

namespace mezite::net {
namespace {

std::string with_port(std::string_view host, std::uint16_t port) {
  return host.find(':') != std::string_view::npos ? fmt::format("[{}]:{}", host, port)
                                                  : fmt::format("{}:{}", host, port);
}

template <class Ask>
Address address_of(Ask ask) {
  sockaddr_storage storage{};
  socklen_t size = sizeof storage;
  if (ask(reinterpret_cast<sockaddr*>(&storage), &size) != 0) return {};
  std::array<char, INET6_ADDRSTRLEN> text{};
  if (storage.ss_family == AF_INET) {
    const auto& v4 = reinterpret_cast<const sockaddr_in&>(storage);
    ::inet_ntop(AF_INET, &v4.sin_addr, text.data(), text.size());
    return {text.data(), ntohs(v4.sin_port)};
  }
  if (storage.ss_family == AF_INET6) {
    const auto& v6 = reinterpret_cast<const sockaddr_in6&>(storage);
    if (IN6_IS_ADDR_V4MAPPED(&v6.sin6_addr)) {
      ::inet_ntop(AF_INET, &v6.sin6_addr.s6_addr[12], text.data(), text.size());
    } else {
      ::inet_ntop(AF_INET6, &v6.sin6_addr, text.data(), text.size());
    }
    return {text.data(), ntohs(v6.sin6_port)};
  }
  return {};
}

}  // namespace

std::string Address::text() const { return ip.empty() ? "local" : with_port(ip, port); }
std::string HostPort::text() const { return with_port(host, port); }

Address peer_address(int fd) {
  return address_of([fd](sockaddr* address, socklen_t* size) { return ::getpeername(fd, address, size); });
}
Address local_address(int fd) {
  return address_of([fd](sockaddr* address, socklen_t* size) { return ::getsockname(fd, address, size); });
}

Result<HostPort> parse_host_port(std::string_view text, std::uint16_t default_port) {
  auto refuse = [&](std::string_view why) {
    return fail(ErrorCode::kInvalidArgument, "'{}' is not an address: {}; write HOST:PORT, :PORT or [IPV6]:PORT",
                printable(text.substr(0, 200)), why);
  };
  if (text.size() > 300) return refuse("it is too long");
  HostPort result;
  std::string_view port;
  bool has_port = false;
  if (text.starts_with('[')) {
    std::size_t end = text.find(']');
    if (end == std::string_view::npos) return refuse("the bracket is not closed");
    result.host = text.substr(1, end - 1);
    if (!is_ip_address(result.host)) return refuse("what stands in brackets is no IPv6 address");
    std::string_view rest = text.substr(end + 1);
    if (!rest.empty() && rest[0] != ':') return refuse("a colon and the port follow the bracket");
    has_port = !rest.empty();
    if (has_port) port = rest.substr(1);
  } else if (std::size_t colon = text.rfind(':'); colon != std::string_view::npos) {
    if (text.find(':') != colon) return refuse("an IPv6 address goes in brackets");
    result.host = text.substr(0, colon);
    port = text.substr(colon + 1);
    has_port = true;
  } else {
    result.host = text;
  }
  for (char c : result.host) {
    if (static_cast<unsigned char>(c) <= ' ' || c == 0x7f || c == '/' || c == '@')
      return refuse("the host has a forbidden character");
  }
  if (!has_port) {
    if (default_port == 0 || result.host.empty()) return refuse("the port is missing");
    result.port = default_port;
    return result;
  }
  unsigned number = 0;
  auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), number);
  if (error != std::errc() || end != port.data() + port.size() || number > 65535)
    return refuse("the port is a number from 0 to 65535");
  result.port = static_cast<std::uint16_t>(number);
  return result;
}

bool is_ip_address(std::string_view text) {
  if (text.size() >= INET6_ADDRSTRLEN) return false;
  std::string copy(text);
  std::array<unsigned char, 16> out{};
  return ::inet_pton(AF_INET, copy.c_str(), out.data()) == 1 || ::inet_pton(AF_INET6, copy.c_str(), out.data()) == 1;
}

}  // namespace mezite::net
