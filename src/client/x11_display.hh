// The user's own X11 display, for -X: where it is, its cookie, and the cookie that the node is given instead.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/bytes.hh"
#include "net/address.hh"

namespace mezite::client {

struct X11Display {
  std::string socket;  // a Unix socket's path; empty: `address`
  net::HostPort address;
  std::uint32_t screen = 0;
  std::string protocol = "MIT-MAGIC-COOKIE-1";
  Bytes cookie;  // the display's own; never sent to the node
  Bytes fake;    // what the node's programs have to show; random, as long as `cookie`
};

// ssh's -X and -Y: an untrusted program can't read what others show or type (X11 SECURITY extension).
enum class X11Trust { kUntrusted, kTrusted };

// From DISPLAY, with xauth(1) for the cookie. Blocks.
Result<X11Display> find_x11_display(X11Trust trust);

// DISPLAY alone: ":0", "unix:0.1", "localhost:10.0", "host:0", "/path/of/a:0". No cookie.
Result<X11Display> parse_display(std::string_view display);

// The beginning of an X11 connection (X Window System Protocol, chapter 8): the cookie in it is checked and exchanged
// for the display's own.
class X11CookieExchange {
 public:
  explicit X11CookieExchange(const X11Display& display) : display_(display) {}

  enum class Next { kMore, kPass, kRefuse };
  // Bytes of the program, in order. kPass: out() is to be sent on, and everything after it as it comes.
  Next take(BytesView bytes);
  const Bytes& out() const { return buffer_; }

 private:
  const X11Display& display_;
  Bytes buffer_;
};

}  // namespace mezite::client
