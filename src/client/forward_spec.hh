// -L, -R and -D as ssh(1) writes them.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.hh"

namespace mezite::client {

// A TCP address or a Unix socket.
struct ForwardPoint {
  std::string host;  // for listening: empty when none was given; "*" for every address
  std::uint16_t port = 0;
  std::string path;  // of a Unix socket; host and port do not count then

  bool is_socket() const { return !path.empty(); }
  std::string text() const;
  bool operator==(const ForwardPoint&) const = default;
};

enum class ForwardKind {
  kLocal,          // listens here, connects from the node
  kRemote,         // listens on the node, connects from here
  kDynamic,        // listens here as a SOCKS proxy, connects from the node
  kRemoteDynamic,  // listens on the node as a SOCKS proxy, connects from here
};

struct ForwardSpec {
  ForwardKind kind = ForwardKind::kLocal;
  ForwardPoint listen;
  ForwardPoint target;  // not of the dynamic kinds
  bool operator==(const ForwardSpec&) const = default;
};

// "[BIND:]PORT:HOST:PORT", "[BIND:]PORT:/SOCKET", "/SOCKET:HOST:PORT", "/SOCKET:/SOCKET"; an IPv6 address in brackets.
// -R also takes "[BIND:]PORT" alone, and port 0 to listen on. What has a slash is a socket's path.
Result<ForwardSpec> parse_local_forward(std::string_view text);
Result<ForwardSpec> parse_remote_forward(std::string_view text);
// "[BIND:]PORT"
Result<ForwardSpec> parse_dynamic_forward(std::string_view text);
// "HOST:PORT" of -W.
Result<ForwardPoint> parse_stdio_forward(std::string_view text);

}  // namespace mezite::client
