#include "client/socks.hh"

#include <gtest/gtest.h>

namespace mezite::client {
namespace {

using Next = SocksRequest::Next;

Bytes bytes(std::initializer_list<int> values, std::string_view text = {}, std::initializer_list<int> after = {}) {
  Bytes out;
  for (int value : values) out.push_back(static_cast<std::uint8_t>(value));
  out.insert(out.end(), text.begin(), text.end());
  for (int value : after) out.push_back(static_cast<std::uint8_t>(value));
  return out;
}

TEST(Socks, Version5WithANameInEveryCut) {
  const Bytes methods = bytes({5, 2, 0, 2});
  const Bytes request = bytes({5, 1, 0, 3, 7}, "db.test", {0x15, 0x38});
  Bytes all = methods;
  all.insert(all.end(), request.begin(), request.end());
  all.push_back('x');  // of what will be forwarded
  for (std::size_t cut = 0; cut <= all.size(); ++cut) {
    SocksRequest socks;
    Next next = socks.take(BytesView(all).first(cut));
    if (next == Next::kMore) next = socks.take(BytesView(all).subspan(cut));
    ASSERT_EQ(next, Next::kConnect) << cut;
    EXPECT_EQ(socks.reply(), bytes({5, 0}));
    EXPECT_EQ(socks.host(), "db.test");
    EXPECT_EQ(socks.port(), 5432);
    EXPECT_EQ(socks.granted()[1], 0);
    EXPECT_LE(socks.rest().size(), 1u);
  }
}

TEST(Socks, ARefusalComesBehindTheChosenMethod) {
  SocksRequest socks;
  EXPECT_EQ(socks.take(bytes({5, 1, 0, 5, 2, 0, 1, 127, 0, 0, 1, 0, 80})), Next::kRefuse);  // BIND, at once
  const Bytes reply = socks.reply();
  ASSERT_GT(reply.size(), 3u);
  EXPECT_EQ(reply[1], 0);
  EXPECT_EQ(reply[3], 7);
}

TEST(Socks, Version5Addresses) {
  SocksRequest four;
  four.take(bytes({5, 1, 0}));
  EXPECT_EQ(four.take(bytes({5, 1, 0, 1, 192, 0, 2, 7, 0, 80})), Next::kConnect);
  EXPECT_EQ(four.host(), "192.0.2.7");
  SocksRequest six;
  six.take(bytes({5, 1, 0}));
  EXPECT_EQ(six.take(bytes({5, 1, 0, 4, 0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 80})),
            Next::kConnect);
  EXPECT_EQ(six.host(), "2001:db8::1");
}

TEST(Socks, Version4And4a) {
  SocksRequest four;
  EXPECT_EQ(four.take(bytes({4, 1, 0, 80, 192, 0, 2, 7}, "me", {0})), Next::kConnect);
  EXPECT_EQ(four.host(), "192.0.2.7");
  EXPECT_EQ(four.granted()[1], 90);
  EXPECT_EQ(four.failed()[1], 91);
  SocksRequest named;
  EXPECT_EQ(named.take(bytes({4, 1, 0x15, 0x38, 0, 0, 0, 1, 0}, "db.test", {})), Next::kMore);
  EXPECT_EQ(named.take(bytes({0})), Next::kConnect);
  EXPECT_EQ(named.host(), "db.test");
  EXPECT_EQ(named.port(), 5432);
}

TEST(Socks, WhatIsNotForUsIsRefused) {
  EXPECT_EQ(SocksRequest().take(bytes({'G', 'E', 'T'})), Next::kRefuse);
  EXPECT_EQ(SocksRequest().take(bytes({5, 1, 2})), Next::kRefuse);                                 // wants a password
  EXPECT_EQ(SocksRequest().take(bytes({4, 2, 0, 80, 192, 0, 2, 7, 0})), Next::kRefuse);            // BIND
  EXPECT_EQ(SocksRequest().take(bytes({5, 1, 0, 5, 3, 0, 1, 1, 1, 1, 1, 0, 80})), Next::kRefuse);  // UDP
  EXPECT_EQ(SocksRequest().take(bytes({5, 1, 0, 5, 1, 0, 9, 1, 1})), Next::kRefuse);               // an unknown address
  EXPECT_EQ(SocksRequest().take(bytes({5, 1, 0, 5, 1, 0, 3, 0, 0, 80})), Next::kRefuse);           // no name
  EXPECT_EQ(SocksRequest().take(bytes({5, 1, 0, 5, 1, 0, 3, 2, 'a', '\n', 0, 80})), Next::kRefuse);
  EXPECT_EQ(SocksRequest().take(Bytes(2000, 4)), Next::kRefuse);  // a user name without end
}

}  // namespace
}  // namespace mezite::client
