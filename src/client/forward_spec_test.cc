#include "client/forward_spec.hh"

#include <gtest/gtest.h>

namespace mezite::client {
namespace {

TEST(ForwardSpec, LocalForwards) {
  using P = ForwardPoint;
  const struct {
    const char* text;
    P listen;
    P target;
  } cases[] = {
      {"8080:db:5432", {.port = 8080}, {.host = "db", .port = 5432}},
      {"127.0.0.2:8080:db:5432", {.host = "127.0.0.2", .port = 8080}, {.host = "db", .port = 5432}},
      {"*:8080:db:5432", {.host = "*", .port = 8080}, {.host = "db", .port = 5432}},
      {":8080:db:5432", {.host = "*", .port = 8080}, {.host = "db", .port = 5432}},
      {"[::1]:8080:[2001:db8::1]:80", {.host = "::1", .port = 8080}, {.host = "2001:db8::1", .port = 80}},
      {"8080:/run/app.sock", {.port = 8080}, {.path = "/run/app.sock"}},
      {"localhost:8080:/run/app.sock", {.host = "localhost", .port = 8080}, {.path = "/run/app.sock"}},
      {"/tmp/here:/run/there", {.path = "/tmp/here"}, {.path = "/run/there"}},
      {"./here:db:5432", {.path = "./here"}, {.host = "db", .port = 5432}},
  };
  for (const auto& one : cases) {
    auto spec = parse_local_forward(one.text);
    ASSERT_TRUE(spec) << one.text << ": " << spec.error().message;
    EXPECT_EQ(spec->kind, ForwardKind::kLocal);
    EXPECT_EQ(spec->listen, one.listen) << one.text;
    EXPECT_EQ(spec->target, one.target) << one.text;
  }
}

TEST(ForwardSpec, WhatIsNoForwardIsRefusedWithTheForm) {
  const std::string long_path = "/" + std::string(107, 'x');
  for (const std::string& text :
       {std::string(""), std::string("8080"), std::string("8080:db"), std::string("8080:db:"), std::string("0:db:80"),
        std::string("99999:db:80"), std::string("8080:db:0"), std::string("8080::80"), std::string("-1:db:80"),
        std::string("a:b:c:d:e"), std::string("a:b:c:d:e:f:g"), std::string("[::1:8080:db:80"),
        std::string("[::1]x:8080:db:80"), std::string("80 80:db:80"), "8080:" + long_path, long_path + ":db:80",
        std::string("8080:d\nb:80")}) {
    auto spec = parse_local_forward(text);
    ASSERT_FALSE(spec) << text;
    EXPECT_NE(spec.error().message.find("PORT:HOST:PORT"), std::string::npos) << spec.error().message;
  }
}

TEST(ForwardSpec, RemoteForwards) {
  auto spec = parse_remote_forward("0:localhost:22");
  ASSERT_TRUE(spec);
  EXPECT_EQ(spec->kind, ForwardKind::kRemote);
  EXPECT_EQ(spec->listen.port, 0);
  spec = parse_remote_forward("1080");
  ASSERT_TRUE(spec);
  EXPECT_EQ(spec->kind, ForwardKind::kRemoteDynamic);
  EXPECT_EQ(spec->listen.port, 1080);
  spec = parse_remote_forward("[::1]:1080");
  ASSERT_TRUE(spec);
  EXPECT_EQ(spec->kind, ForwardKind::kRemoteDynamic);
  EXPECT_EQ(spec->listen.host, "::1");
  spec = parse_remote_forward("/run/there:/tmp/here");
  ASSERT_TRUE(spec);
  EXPECT_EQ(spec->listen.path, "/run/there");
  EXPECT_EQ(spec->target.path, "/tmp/here");
}

TEST(ForwardSpec, DynamicForwardsAndStandardStreams) {
  auto spec = parse_dynamic_forward("1080");
  ASSERT_TRUE(spec);
  EXPECT_EQ(spec->kind, ForwardKind::kDynamic);
  spec = parse_dynamic_forward("127.0.0.1:1080");
  ASSERT_TRUE(spec);
  EXPECT_EQ(spec->listen.host, "127.0.0.1");
  EXPECT_FALSE(parse_dynamic_forward("0"));
  EXPECT_FALSE(parse_dynamic_forward("1080:db:80"));
  auto point = parse_stdio_forward("[::1]:80");
  ASSERT_TRUE(point);
  EXPECT_EQ(point->text(), "[::1]:80");
  EXPECT_FALSE(parse_stdio_forward("db"));
  EXPECT_FALSE(parse_stdio_forward("db:80:90"));
}

}  // namespace
}  // namespace mezite::client
