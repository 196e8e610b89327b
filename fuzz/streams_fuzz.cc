// Small protocols that begin a stream. First byte: a SOCKS request of a program on the user's machine, the X11 cookie
// of a program on the node, DISPLAY, or frames of the control channel between agent and hub.
#include <algorithm>
#include <cstdlib>

#include "client/socks.hh"
#include "client/x11_display.hh"
#include "proxy/control_frames.hh"

namespace {

using namespace mezite;

void expect(bool condition) {
  if (!condition) std::abort();
}

struct Asked {
  client::SocksRequest::Next next = client::SocksRequest::Next::kMore;
  std::string host;
  std::uint16_t port = 0;
  Bytes replies;
  bool operator==(const Asked&) const = default;
};
Asked ask_socks(BytesView input, std::size_t piece) {
  client::SocksRequest request;
  Asked asked;
  for (std::size_t at = 0; at < input.size() && asked.next == client::SocksRequest::Next::kMore; at += piece) {
    asked.next = request.take(input.subspan(at, std::min(piece, input.size() - at)));
    const Bytes reply = request.reply();
    asked.replies.insert(asked.replies.end(), reply.begin(), reply.end());
  }
  asked.host = request.host();
  asked.port = request.port();
  if (asked.next == client::SocksRequest::Next::kConnect) {
    expect(asked.host.size() <= 255 && request.rest().size() <= input.size());
    static_cast<void>(request.granted());
    static_cast<void>(request.failed());
  }
  return asked;
}
// Up to a size that is never too much, however little of it has been looked at.
void socks(BytesView input) {
  input = input.first(std::min<std::size_t>(input.size(), 1000));
  expect(ask_socks(input, std::max<std::size_t>(input.size(), 1)) == ask_socks(input, 1));
}

void x11(BytesView input) {
  client::X11Display display;
  display.cookie = Bytes(16, 'c');
  display.fake = Bytes(16, 'f');
  client::X11CookieExchange exchange(display);
  auto next = client::X11CookieExchange::Next::kMore;
  for (std::size_t at = 0; at < input.size() && next == client::X11CookieExchange::Next::kMore; at += 5) {
    next = exchange.take(input.subspan(at, std::min<std::size_t>(5, input.size() - at)));
    expect(next != client::X11CookieExchange::Next::kMore || exchange.out().size() < 4096);
  }
  // Nobody passes without the cookie, and what passes carries the display's own.
  if (next != client::X11CookieExchange::Next::kPass) return;
  expect(!std::ranges::search(input, display.fake).empty());
  expect(!std::ranges::search(exchange.out(), display.cookie).empty());
}

void display(BytesView input) {
  if (const auto parsed = client::parse_display(as_text(input))) {
    expect(!parsed->socket.empty() || !parsed->address.host.empty());
  }
}

void frames(BytesView input) {
  Bytes whole, cut;
  const auto into = [](Bytes& out) {
    return [&out](BytesView frame) -> Status {
      expect(!frame.empty() && frame.size() <= proxy::kMaxControlFrameBytes);
      const Bytes again = proxy::make_frame(as_text(frame));
      out.insert(out.end(), again.begin(), again.end());
      return {};
    };
  };
  proxy::FrameReader one, many;
  const bool good = one.feed(input, into(whole)).has_value();
  bool cut_good = true;
  for (std::size_t at = 0; at < input.size() && cut_good; ++at) {
    cut_good = many.feed(input.subspan(at, 1), into(cut)).has_value();
  }
  expect(good == cut_good && whole == cut);
  expect(!good || std::equal(whole.begin(), whole.end(), input.begin()));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  constexpr void (*kChecks[])(BytesView) = {socks, x11, display, frames};
  kChecks[data[0] % std::size(kChecks)](BytesView(data + 1, size - 1));
  return 0;
}
