#include "auth/rpc/h2c_upgrade.hh"

#include <gtest/gtest.h>

namespace mezite::auth::rpc {
namespace {

using Wants = H2cUpgrade::Wants;

constexpr std::string_view kRequest =
    "POST /mezite.v1.AdminService/Login HTTP/1.1\r\nHost: hub:3025\r\nConnection: Upgrade, HTTP2-Settings\r\n"
    "Upgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\nContent-Type: application/grpc\r\nTE: trailers\r\nContent-Length: "
    "5\r\n"
    "\r\nabcde";
const std::string kSettings("\0\0\6\4\0\0\0\0\0\0\3\0\0\0\x64", 15);

bool has(const Bytes& bytes, std::string_view part) { return as_text(bytes).find(part) != std::string_view::npos; }

// Whatever the cuts, it is the same.
TEST(H2cUpgrade, BecomesStreamOne) {
  for (std::size_t piece : {std::size_t{1}, std::size_t{7}, std::size_t{4096}}) {
    H2cUpgrade upgrade;
    bool replied = false, done = false;
    auto feed = [&](std::string_view all) {
      for (std::size_t at = 0; at < all.size(); at += piece) {
        auto wants = upgrade.feed(as_bytes(all.substr(at, piece)));
        ASSERT_TRUE(wants) << wants.error().message;
        if (*wants == Wants::kReply) {
          replied = true;
          wants = upgrade.feed({});
        }
        done = wants && *wants == Wants::kNothing;
      }
    };
    feed(kRequest);
    EXPECT_TRUE(replied && !done);
    feed(std::string(kHttp2Preface) + kSettings);
    ASSERT_TRUE(done);
    const Bytes out = upgrade.hand_over();
    EXPECT_TRUE(as_text(out).starts_with(std::string(kHttp2Preface) + kSettings));
    for (const char* part :
         {":method\4POST", ":path\x1d/mezite.v1.AdminService/Login", "content-type", "te\x08trailers"}) {
      EXPECT_TRUE(has(out, part)) << part;
    }
    for (const char* part : {"HTTP2-Settings", "http2-settings", "upgrade", "content-length"}) {
      EXPECT_FALSE(has(out, part)) << part;
    }
    EXPECT_TRUE(as_text(out).ends_with(std::string("\0\0\5\0\1\0\0\0\1abcde", 14))) << "its body ends the stream";
  }
}

TEST(H2cUpgrade, WithoutABodyTheHeadEndsTheStream) {
  H2cUpgrade upgrade;
  auto wants = upgrade.feed(as_bytes(std::string_view(
      "GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade, http2-settings\r\nUpgrade: h2c\r\nHTTP2-Settings: \r\n\r\n")));
  ASSERT_TRUE(wants && *wants == Wants::kReply);
  const std::string rest = std::string(kHttp2Preface) + kSettings + "more";
  ASSERT_EQ(upgrade.feed(as_bytes(rest)).value(), Wants::kNothing);
  const Bytes out = upgrade.hand_over();
  const std::size_t head = kHttp2Preface.size() + kSettings.size();
  EXPECT_EQ(out.at(head + 3), 1) << "HEADERS";
  EXPECT_EQ(out.at(head + 4), 5) << "END_HEADERS, END_STREAM";
  EXPECT_TRUE(as_text(out).ends_with("more")) << "what was sent since is kept";
}

TEST(H2cUpgrade, EverythingElseIsRefused) {
  const std::string good(kRequest);
  auto refused = [](std::string text) {
    H2cUpgrade upgrade;
    auto wants = upgrade.feed(as_bytes(text));
    return !wants;
  };
  EXPECT_FALSE(refused(good));
  EXPECT_TRUE(refused("GET / HTTP/1.1\r\nHost: a\r\n\r\n"));
  EXPECT_TRUE(refused("GET / HTTP/1.1\r\nHost: a\r\nUpgrade: h2c\r\n\r\n")) << "Connection does not name it";
  EXPECT_TRUE(refused("GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"));
  EXPECT_TRUE(refused("GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n")) << "no settings";
  EXPECT_TRUE(refused("nonsense\r\n\r\n"));
  EXPECT_TRUE(refused("GET / HTTP/1.1\r\nx: " + std::string(H2cUpgrade::kMaxHeadBytes, 'x')));
  EXPECT_TRUE(refused("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 65536\r\n\r\n"));
}

TEST(H2cUpgrade, WhatFollowsMustBeHttp2) {
  for (const std::string& rest :
       {std::string("GET / HTTP/1.1\r\n\r\n"), std::string(kHttp2Preface) + std::string(9, '\xff'),
        std::string(kHttp2Preface) + std::string("\0\0\0\0\0\0\0\0\0", 9)}) {
    H2cUpgrade upgrade;
    ASSERT_EQ(upgrade.feed(as_bytes(kRequest)).value(), Wants::kReply);
    EXPECT_FALSE(upgrade.feed(as_bytes(rest)));
  }
}

}  // namespace
}  // namespace mezite::auth::rpc
