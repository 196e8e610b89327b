#include "agent/sftp/tap.hh"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

namespace mezite::agent {
namespace {

using namespace ssh::sftp;  // NOLINT: the packets
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

std::string told(const FileOperation& operation) {
  static constexpr const char* kNames[] = {"open",  "close", "rename",  "remove", "mkdir",
                                           "rmdir", "set",   "symlink", "link"};
  std::string out = fmt::format("{} {}", kNames[static_cast<int>(operation.kind)], operation.path);
  if (!operation.target.empty()) out += ">" + operation.target;
  if (operation.kind == FileOperation::Kind::kClose)
    out += fmt::format(" r{} w{}", operation.bytes_read, operation.bytes_written);
  if (operation.left_open) out += " left";
  if (operation.copied_on_server) out += " copied";
  return out + " " + (operation.status ? std::string(status_text(*operation.status)) : "unknown");
}

class SftpTapTest : public testing::Test {
 protected:
  SftpTap make() {
    return SftpTap({.operation = [this](const FileOperation& operation) { operations_.push_back(told(operation)); },
                    .lost = [this](std::string_view why) { lost_.emplace_back(why); }});
  }
  void ask(std::uint32_t id, const Request& request) {
    Bytes wire;
    encode_request(wire, id, request);
    tap_.from_client(wire);
  }
  void answer(std::uint32_t id, const Reply& reply) {
    Bytes wire;
    encode_reply(wire, id, reply);
    tap_.from_server(wire);
  }
  void ok(std::uint32_t id) { answer(id, StatusReply{}); }
  void refuse(std::uint32_t id, StatusCode code = StatusCode::kPermissionDenied) {
    answer(id, StatusReply{.code = code});
  }
  void open(std::uint32_t id, const std::string& path, const Bytes& handle, std::uint32_t flags = kOpenRead) {
    ask(id, Open{path, flags, {}});
    answer(id, HandleReply{handle});
  }

  std::vector<std::string> operations_;
  std::vector<std::string> lost_;
  SftpTap tap_ = make();
  const Bytes h0_ = {0, 0, 0, 0};
  const Bytes h1_ = {0, 0, 0, 1};
  const Bytes data_ = Bytes(1000, 'x');
};

TEST_F(SftpTapTest, FilesWithTheirBytes) {
  ask(0, Init{});
  answer(0, VersionReply{});
  open(1, "in", h0_);
  open(2, "out", h1_, kOpenWrite | kOpenCreate);
  ask(3, Read{h0_, 0, 32768});
  ask(4, Write{h1_, 0, data_});
  ask(5, Write{h1_, 1000, data_});
  ask(6, Read{h0_, 1000, 32768});
  answer(3, DataReply{data_});
  ok(4);
  refuse(5, StatusCode::kFailure);
  refuse(6, StatusCode::kEof);
  ask(7, Close{h0_});
  ok(7);
  ask(8, Close{h1_});
  ok(8);
  EXPECT_THAT(operations_, ElementsAre("open in ok", "open out ok", "close in r1000 w0 ok", "close out r0 w1000 ok"));
  EXPECT_THAT(lost_, IsEmpty());
}

TEST_F(SftpTapTest, EveryChangeWithItsResult) {
  const std::vector<Request> changes = {
      Rename{"a", "b"}, PosixRename{"c", "d"}, Remove{"e"},           Mkdir{"f", {}},         Rmdir{"g"},
      Setstat{"h", {}}, Lsetstat{"i", {}},     Symlink{"to", "from"}, Hardlink{"old", "new"}, Open{"j", 1, {}},
      Opendir{"k"}};
  std::uint32_t id = 0;
  for (const auto& change : changes) {
    ask(++id, change);
    ask(++id, change);
  }
  for (std::uint32_t i = 1; i <= id; ++i) {
    if (i % 2 == 0) {
      refuse(i);
    } else {
      i > id - 4 ? answer(i, HandleReply{i > id - 2 ? h1_ : h0_}) : ok(i);
    }
  }
  EXPECT_THAT(operations_,
              ElementsAre("rename a>b ok", "rename a>b permission denied", "rename c>d ok",
                          "rename c>d permission denied", "remove e ok", "remove e permission denied", "mkdir f ok",
                          "mkdir f permission denied", "rmdir g ok", "rmdir g permission denied", "set h ok",
                          "set h permission denied", "set i ok", "set i permission denied", "symlink from>to ok",
                          "symlink from>to permission denied", "link new>old ok", "link new>old permission denied",
                          "open j ok", "open j permission denied", "open k ok", "open k permission denied"));
  operations_.clear();
  tap_.end();
  EXPECT_THAT(operations_, ElementsAre("close j r0 w0 left unknown"));  // a folder's listing has no end to tell
}

TEST_F(SftpTapTest, WhatDoesNotChangeAnythingIsNotTold) {
  for (std::uint32_t i = 1; i <= 5; ++i) {
    ask(i, i == 1   ? Request(Stat{"a"})
           : i == 2 ? Request(Realpath{"."})
           : i == 3 ? Request(Statvfs{"/"})
           : i == 4 ? Request(LimitsRequest{})
                    : Request(UnknownExtended{"a@b", {}}));
  }
  answer(1, AttrsReply{});
  answer(2, NameReply{});
  answer(3, ExtendedReply{});
  answer(4, ExtendedReply{});
  refuse(5, StatusCode::kOpUnsupported);
  EXPECT_THAT(operations_, IsEmpty());
  EXPECT_THAT(lost_, IsEmpty());
}

// OpenSSH's handles are 0, 1, 2 …: a client can write before it has been told which one it got.
TEST_F(SftpTapTest, AGuessedHandleIsCountedAllTheSame) {
  ask(1, Open{"f", kOpenWrite, {}});
  ask(2, Write{h0_, 0, data_});
  ask(3, Fsetstat{h0_, {}});
  ask(4, Close{h0_});
  answer(1, HandleReply{h0_});
  ok(2);
  ok(3);
  ok(4);
  EXPECT_THAT(operations_, ElementsAre("open f ok", "set f ok", "close f r0 w1000 ok"));
}

// Nothing says that a client may not use a number twice; what counts is that answers come in order.
TEST_F(SftpTapTest, DuplicatedIdsAreToldApartByTheirOrder) {
  ask(1, Stat{"x"});
  ask(1, Open{"secret", kOpenRead, {}});
  ask(1, Open{"harmless", kOpenRead, {}});
  answer(1, AttrsReply{});
  answer(1, HandleReply{h0_});
  answer(1, HandleReply{h1_});
  ask(1, Read{h0_, 0, 4096});
  answer(1, DataReply{data_});
  tap_.end();
  EXPECT_THAT(operations_, ElementsAre("open secret ok", "open harmless ok", "close secret r1000 w0 left unknown",
                                       "close harmless r0 w0 left unknown"));
}

TEST_F(SftpTapTest, ADuplicatedHandleClosesTheFileBefore) {
  open(1, "a", h0_);
  open(2, "b", h0_);
  ask(3, Close{h0_});
  ok(3);
  ask(4, Close{h0_});
  refuse(4, StatusCode::kFailure);
  EXPECT_THAT(operations_, ElementsAre("open a ok", "close a r0 w0 left unknown", "open b ok", "close b r0 w0 ok"));
}

// As sftp-server does: bytes behind the fields and packets of no known type are passed over, so nothing hides behind
// them.
TEST_F(SftpTapTest, WhatTheServerPassesOverDoesNotEndTheLog) {
  Bytes odd;
  encode_request(odd, 1, Remove{"a"});
  odd.insert(odd.end(), {1, 2, 3});
  odd[3] = static_cast<std::uint8_t>(odd[3] + 3);
  tap_.from_client(odd);
  tap_.from_client(Bytes{0, 0, 0, 5, 99, 0, 0, 0, 7});
  ask(2, Remove{std::string("b\0", 2)});
  ok(1);
  ok(2);
  EXPECT_THAT(operations_, ElementsAre("remove a ok", "remove b ok"));
  EXPECT_TRUE(tap_.following());
}

TEST_F(SftpTapTest, AMalformedRequestEndsTheLogOnce) {
  tap_.from_client(Bytes{0, 0, 0, 9, 13, 0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff});
  EXPECT_FALSE(tap_.following());
  ask(2, Remove{"b"});
  ASSERT_EQ(lost_.size(), 1u);
  EXPECT_THAT(lost_[0], HasSubstr("the client"));
  EXPECT_THAT(operations_, IsEmpty());
}

// A shell's start file that prints something: requests are told without their results.
TEST_F(SftpTapTest, ChatterOfTheServerLeavesTheRequests) {
  ask(1, Open{"f", kOpenRead, {}});
  tap_.from_server(as_bytes("Welcome!\n"));
  ask(2, Remove{"b"});
  ok(2);
  EXPECT_THAT(operations_, ElementsAre("open f unknown", "remove b unknown"));
  ASSERT_EQ(lost_.size(), 1u);
  EXPECT_TRUE(tap_.following());
}

TEST_F(SftpTapTest, AnswersOutOfOrderAreTakenWithinBounds) {
  for (std::uint32_t id = 0; id < 300; ++id) ask(id, Remove{std::to_string(id)});
  ok(200);
  EXPECT_THAT(operations_, ElementsAre("remove 200 ok"));
  ok(299);
  EXPECT_THAT(lost_, ElementsAre(HasSubstr("nothing that was asked")));
  EXPECT_EQ(operations_.size(), 300u);  // none is kept back
}

TEST_F(SftpTapTest, AFloodOfRequestsIsToldWithoutResults) {
  for (std::uint32_t id = 0; id < 70'000; ++id) ask(id, Remove{"x"});
  EXPECT_EQ(operations_.size(), 70'000u);
  EXPECT_THAT(lost_, ElementsAre(HasSubstr("more requests than can be kept")));
}

TEST_F(SftpTapTest, HandlesAreBounded) {
  for (std::uint32_t id = 0; id < 5000; ++id) {
    Bytes handle(4);
    handle[2] = static_cast<std::uint8_t>(id >> 8);
    handle[3] = static_cast<std::uint8_t>(id);
    open(id, "f", handle);
  }
  EXPECT_EQ(operations_.size(), 5000u);
  tap_.end();
  EXPECT_EQ(operations_.size(), 5000u + 4096u);
}

TEST_F(SftpTapTest, PathsAreBounded) {
  ask(1, Remove{std::string(200'000, 'a')});
  refuse(1, StatusCode::kFailure);
  ASSERT_EQ(operations_.size(), 1u);
  EXPECT_LT(operations_[0].size(), 4200u);
  EXPECT_TRUE(tap_.following());
}

TEST_F(SftpTapTest, CopyOnTheServerCounts) {
  open(1, "a", h0_);
  open(2, "b", h1_, kOpenWrite);
  ask(3, CopyData{h0_, 0, 500, h1_, 0});
  ok(3);
  ask(4, CopyData{h0_, 0, 0, h1_, 0});
  ok(4);
  tap_.end();
  EXPECT_THAT(operations_, ElementsAre("open a ok", "open b ok", "close a r500 w0 left copied unknown",
                                       "close b r0 w500 left copied unknown"));
}

TEST_F(SftpTapTest, WhateverThePiecesAndWhateverTheBytes) {
  std::mt19937 random(3);
  const auto flip = [&random](Bytes& bytes) {
    auto& byte = bytes[random() % bytes.size()];
    byte = static_cast<std::uint8_t>(byte ^ (1u << random() % 8));
  };
  for (int round = 0; round < 300; ++round) {
    SftpTap tap = make();
    Bytes client, server;
    for (std::uint32_t id = 0; id < 40; ++id) {
      switch (random() % 5) {
        case 0: encode_request(client, id, Open{"f", 3, {}}); break;
        case 1: encode_request(client, id, Write{h0_, 0, data_}); break;
        case 2: encode_request(client, id, Close{h0_}); break;
        case 3: encode_request(client, id, Rename{"a", "b"}); break;
        default: encode_request(client, id, Read{h0_, 0, 100}); break;
      }
      switch (random() % 3) {
        case 0: encode_reply(server, id, HandleReply{h0_}); break;
        case 1: encode_reply(server, id, DataReply{data_}); break;
        default: encode_reply(server, id, StatusReply{}); break;
      }
    }
    if (round % 3 == 0) flip(client);
    if (round % 3 == 1) flip(server);
    for (std::size_t c = 0, s = 0; c < client.size() || s < server.size();) {
      const std::size_t more = std::min<std::size_t>(random() % 700, client.size() - c);
      tap.from_client(BytesView(client).subspan(c, more));
      c += more;
      const std::size_t back = std::min<std::size_t>(random() % 700, server.size() - s);
      tap.from_server(BytesView(server).subspan(s, back));
      s += back;
    }
    tap.end();
  }
  EXPECT_FALSE(operations_.empty());
}

}  // namespace
}  // namespace mezite::agent
