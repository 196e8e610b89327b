#include "client/x11_display.hh"

#include <gtest/gtest.h>

namespace mezite::client {
namespace {

TEST(X11Display, NamesOfDisplays) {
  EXPECT_EQ(parse_display(":0")->socket, "/tmp/.X11-unix/X0");
  EXPECT_EQ(parse_display("unix:12.3")->socket, "/tmp/.X11-unix/X12");
  EXPECT_EQ(parse_display("unix:12.3")->screen, 3u);
  EXPECT_EQ(parse_display("localhost:10.0")->address, (net::HostPort{"localhost", 6010}));
  EXPECT_EQ(parse_display("/private/tmp/launch/x11:0")->socket, "/private/tmp/launch/x11:0");
  for (const char* text : {"", "0", ":", ":x", ":0.", ":0.x", ":99999", "-display:0", "a\nb:0"}) {
    EXPECT_FALSE(parse_display(text)) << text;
  }
}

// The start of a connection: byte order, version 11.0, protocol and cookie, each padded to four bytes.
Bytes setup(char order, std::string_view protocol, BytesView cookie) {
  Bytes out;
  auto number = [&](std::size_t value) {
    const auto high = static_cast<std::uint8_t>(value >> 8);
    const auto low = static_cast<std::uint8_t>(value);
    out.push_back(order == 'B' ? high : low);
    out.push_back(order == 'B' ? low : high);
  };
  out.push_back(static_cast<std::uint8_t>(order));
  out.push_back(0);
  number(11);
  number(0);
  number(protocol.size());
  number(cookie.size());
  number(0);
  out.insert(out.end(), protocol.begin(), protocol.end());
  out.resize((out.size() + 3) / 4 * 4);
  out.insert(out.end(), cookie.begin(), cookie.end());
  out.resize((out.size() + 3) / 4 * 4);
  return out;
}

class CookieExchange : public testing::Test {
 protected:
  CookieExchange() {
    display.cookie = Bytes(16, 0x11);
    display.fake = Bytes(16, 0x22);
  }
  X11Display display;
};

TEST_F(CookieExchange, TheFakeOneBecomesTheDisplaysOwn) {
  for (char order : {'B', 'l'}) {
    Bytes sent = setup(order, display.protocol, display.fake);
    const Bytes expected = setup(order, display.protocol, display.cookie);
    for (std::size_t cut = 0; cut < sent.size(); ++cut) {
      X11CookieExchange exchange(display);
      ASSERT_EQ(exchange.take(BytesView(sent).first(cut)), X11CookieExchange::Next::kMore);
      ASSERT_EQ(exchange.take(BytesView(sent).subspan(cut)), X11CookieExchange::Next::kPass);
      EXPECT_EQ(exchange.out(), expected);
    }
    Bytes more = sent;
    more.push_back('x');  // requests that follow at once
    X11CookieExchange exchange(display);
    ASSERT_EQ(exchange.take(more), X11CookieExchange::Next::kPass);
    EXPECT_EQ(exchange.out().size(), more.size());
    EXPECT_EQ(exchange.out().back(), 'x');
  }
}

TEST_F(CookieExchange, AnythingElseIsKeptFromTheDisplay) {
  auto next = [&](const Bytes& bytes) { return X11CookieExchange(display).take(bytes); };
  EXPECT_EQ(next(setup('l', display.protocol, Bytes(16, 0x23))), X11CookieExchange::Next::kRefuse);
  EXPECT_EQ(next(setup('l', display.protocol, display.cookie)), X11CookieExchange::Next::kRefuse);
  EXPECT_EQ(next(setup('l', display.protocol, Bytes(8, 0x22))), X11CookieExchange::Next::kRefuse);
  EXPECT_EQ(next(setup('l', "XDM-AUTHORIZATION-1", display.fake)), X11CookieExchange::Next::kRefuse);
  EXPECT_EQ(next(setup('l', "", {})), X11CookieExchange::Next::kRefuse);
  EXPECT_EQ(next(to_bytes("GET / HTTP/1.1\r\n")), X11CookieExchange::Next::kRefuse);
  Bytes huge = setup('B', display.protocol, display.fake);
  huge[8] = huge[9] = 0xff;
  EXPECT_EQ(next(huge), X11CookieExchange::Next::kRefuse);
}

}  // namespace
}  // namespace mezite::client
