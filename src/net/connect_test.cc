#include "net/connect.hh"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <fmt/core.h>

#include <cstring>
#include <filesystem>

#include "net/first_bytes.hh"
#include "net/listener.hh"
#include "net/testing.hh"

namespace mezite::net {
namespace {

using namespace std::chrono_literals;
using testing::Box;
using testing::RunningShard;

TEST(Address, ParsesAndPrints) {
  EXPECT_EQ(parse_host_port("hub.example:3080")->text(), "hub.example:3080");
  EXPECT_EQ(*parse_host_port(":3024"), (HostPort{"", 3024}));
  EXPECT_EQ(*parse_host_port("[2001:db8::1]:22"), (HostPort{"2001:db8::1", 22}));
  EXPECT_EQ(parse_host_port("[2001:db8::1]:22")->text(), "[2001:db8::1]:22");
  EXPECT_EQ(*parse_host_port("hub", 3080), (HostPort{"hub", 3080}));
  for (const char* bad : {"hub", "hub:", "hub:65536", "hub:-1", "::1:22", "[::1", "[hub]:1", "[::1]22", "h ub:1",
                          "a@b:1", "hub:22x", "", "a\nb:1"}) {
    EXPECT_FALSE(parse_host_port(bad)) << bad;
  }
}

TEST(Listener, AcceptsOnEveryAddressAndNamesThePeer) {
  RunningShard shard;
  Box<Address> seen;
  auto listener = shard.call([&] {
    return Listener::open(*shard, shard.pool(), {"", 0}, [&](Shard& on, UniqueFd fd, Address peer) {
      EXPECT_EQ(&on, Shard::current());
      EXPECT_TRUE(fd);
      seen.put(peer);
    });
  });
  ASSERT_TRUE(listener) << listener.error().message;
  auto connected = connect_blocking({"127.0.0.1", (*listener)->port()}, 5s);
  ASSERT_TRUE(connected) << connected.error().message;
  auto peer = seen.take();
  ASSERT_TRUE(peer);
  EXPECT_EQ(peer->ip, "127.0.0.1") << "IPv4-mapped addresses are shown as IPv4";
  EXPECT_EQ(peer->port, local_address(connected->fd.get()).port);
  auto again = shard.call([&] {
    return Listener::open(*shard, shard.pool(), {"127.0.0.1", (*listener)->port()}, [](Shard&, UniqueFd, Address) {});
  });
  ASSERT_FALSE(again);
  EXPECT_NE(again.error().message.find("in use"), std::string::npos) << again.error().message;
  shard.call([&] { listener->reset(); });
  auto refused = connect_blocking({"127.0.0.1", peer->port}, 5s);
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().message.find("127.0.0.1"), std::string::npos);
}

TEST(Listener, UnixSocketsReplaceStaleOnesOnly) {
  RunningShard shard;
  std::string folder = std::filesystem::temp_directory_path() / ("mezite-net-" + std::to_string(::getpid()));
  std::filesystem::create_directory(folder);
  std::string path = folder + "/admin.sock";
  auto open = [&] {
    return shard.call(
        [&] { return Listener::open_unix(*shard, shard.pool(), path, 0600, [](Shard&, UniqueFd, Address) {}); });
  };
  {  // left by a process that has gone
    UniqueFd stale(::socket(AF_UNIX, SOCK_STREAM, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strcpy(address.sun_path, path.c_str());
    ASSERT_EQ(::bind(stale.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  }
  auto first = open();
  ASSERT_TRUE(first) << first.error().message;
  struct stat info{};
  ASSERT_EQ(::stat(path.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
  auto second = open();
  ASSERT_FALSE(second);
  EXPECT_NE(second.error().message.find("in use"), std::string::npos);
  shard.call([&] { first->reset(); });
  EXPECT_FALSE(std::filesystem::exists(path));
  std::filesystem::remove_all(folder);
}

TEST(Admission, BoundsRateAndHalfOpenPerSourceAndInAll) {
  ManualClock clock;
  Admission admission({.per_second = 2, .burst = 4, .half_open_per_source = 3, .half_open = 4}, clock);
  Address one{"192.0.2.1", 1};
  Address two{"192.0.2.2", 1};
  std::vector<Admission::Pass> passes;
  for (int i = 0; i < 3; ++i) passes.push_back(std::move(*admission.admit(one)));
  EXPECT_FALSE(admission.admit(one)) << "three half-open of one source";
  EXPECT_TRUE(admission.admit(two)) << "another source is not touched; its pass was dropped at once";
  passes.push_back(std::move(*admission.admit(two)));
  EXPECT_FALSE(admission.admit(two)) << "four half-open in all";
  passes.clear();
  EXPECT_EQ(admission.half_open(), 0u);
  EXPECT_FALSE(admission.admit(one)) << "over its rate";
  clock.advance(1s);
  EXPECT_TRUE(admission.admit(one));
}

TEST(Admission, TheOldestHalfOpenPeerGoesForANewOne) {
  ManualClock clock;
  Admission admission({.per_second = 0, .burst = 100, .half_open_per_source = 2, .half_open = 3}, clock);
  std::string gone;
  auto enter = [&](const char* ip, char name) { return admission.admit({ip, 1}, [&gone, name] { gone += name; }); };
  auto a = enter("192.0.2.1", 'a');
  auto b = enter("192.0.2.1", 'b');
  auto c = enter("192.0.2.1", 'c');
  ASSERT_TRUE(a && b && c);
  EXPECT_EQ(gone, "a") << "of the same source";
  b->release();  // authenticated: no longer in question
  auto d = enter("192.0.2.2", 'd');
  auto e = enter("192.0.2.3", 'e');
  auto f = enter("192.0.2.4", 'f');
  EXPECT_TRUE(d && e && f);
  EXPECT_EQ(gone, "ac") << "of all";
  a->release();
  EXPECT_EQ(admission.half_open(), 3u) << "one that went is not counted twice";
}

// DHeat, CVE-2002-20001, and its simpler kin: faster than anybody can log in.
TEST(Admission, AFloodOfFewSourcesNeverCostsWhoHasOneConnection) {
  ManualClock clock;
  Admission admission({.per_second = 0, .burst = 1000, .half_open_per_source = 20, .half_open = 50}, clock);
  bool honest_went = false;
  auto honest = admission.admit(Address{"10.9.9.9", 1}, [&] { honest_went = true; });
  ASSERT_TRUE(honest);
  std::vector<Admission::Pass> held;
  int went = 0;
  for (int i = 0; i < 5000; ++i) {
    auto pass = admission.admit(Address{fmt::format("10.0.0.{}", i % 20), 1}, [&] { ++went; });
    ASSERT_TRUE(pass);
    held.push_back(std::move(*pass));
  }
  EXPECT_FALSE(honest_went);
  EXPECT_EQ(admission.half_open(), 50u);
  EXPECT_EQ(went, 5000 - 49);
  held.clear();
  EXPECT_EQ(admission.half_open(), 1u);
}

TEST(Admission, CountsAnIPv6NetworkAsOneSource) {
  ManualClock clock;
  Admission admission({.per_second = 0, .burst = 2}, clock);
  EXPECT_TRUE(admission.admit({"2001:db8:1:2::1", 1}));
  EXPECT_TRUE(admission.admit({"2001:db8:1:2::2", 1}));
  EXPECT_FALSE(admission.admit({"2001:db8:1:2:ffff::3", 1}));
  EXPECT_TRUE(admission.admit({"2001:db8:1:3::1", 1}));
}

TEST(Admission, MemoryIsBoundedUnderManySources) {
  ManualClock clock;
  Admission admission({.per_second = 1, .burst = 1, .sources = 100}, clock);
  for (int i = 0; i < 100; ++i) EXPECT_TRUE(admission.admit({fmt::format("10.0.{}.{}", i / 256, i % 256), 1}));
  EXPECT_FALSE(admission.admit({"10.9.9.9", 1}));
  clock.advance(2s);
  EXPECT_TRUE(admission.admit({"10.9.9.9", 1}));
}

TEST(AsyncConnect, ConnectsAndFailsWithAName) {
  RunningShard shard;
  WorkerPool workers(1);
  auto listener = shard.call(
      [&] { return Listener::open(*shard, shard.pool(), {"127.0.0.1", 0}, [](Shard&, UniqueFd, Address) {}); });
  ASSERT_TRUE(listener);
  Box<Result<Connected>> box;
  auto connect_to = [&](HostPort target, std::chrono::milliseconds timeout) {
    shard->post([&box, &shard, &workers, target, timeout] {
      async_connect(*shard, workers, target, timeout, [&](Result<Connected> result) { box.put(std::move(result)); });
    });
    return box.take();
  };
  auto good = connect_to({"localhost", (*listener)->port()}, 5s);
  ASSERT_TRUE(good && *good) << (*good).error().message;
  EXPECT_TRUE((*good)->fd);
  auto port = (*listener)->port();
  shard.call([&] { listener->reset(); });
  auto closed = connect_to({"127.0.0.1", port}, 5s);
  ASSERT_TRUE(closed && !*closed);
  EXPECT_NE((*closed).error().message.find(fmt::format("127.0.0.1:{}", port)), std::string::npos);
  auto nowhere = connect_to({"no-such-host.invalid", 1}, 5s);
  ASSERT_TRUE(nowhere && !*nowhere);
  EXPECT_NE((*nowhere).error().message.find("no-such-host.invalid"), std::string::npos);
  workers.stop();
}

TEST(FirstBytes, HandsOnWhatItRead) {
  RunningShard shard;
  testing::TcpPair pair;
  Box<Result<FirstBytes>> box;
  auto decide = [](BytesView bytes) {
    return as_text(bytes).find('\n') != std::string_view::npos ? FirstBytesVerdict::kEnough : FirstBytesVerdict::kMore;
  };
  shard->post([&] {
    read_first_bytes(*shard, std::move(pair.left), 64, 5s, decide,
                     [&](Result<FirstBytes> got) { box.put(std::move(got)); });
  });
  testing::send_all(pair.right.get(), "MEZITE-");
  testing::send_all(pair.right.get(), "DIAL/1 x\nSSH-2.0");
  auto got = box.take();
  ASSERT_TRUE(got && *got);
  EXPECT_TRUE(as_text((*got)->bytes).starts_with("MEZITE-DIAL/1 x\n"));
}

TEST(FirstBytes, ASilentPeerMayBeSpokenToFirst) {
  RunningShard shard;
  testing::TcpPair pair;
  Box<Result<FirstBytes>> box;
  shard->post([&] {
    read_first_bytes(
        *shard, std::move(pair.left), 64, 20ms,
        [](BytesView bytes) { return bytes.empty() ? FirstBytesVerdict::kEnough : FirstBytesVerdict::kMore; },
        [&](Result<FirstBytes> got) { box.put(std::move(got)); });
  });
  auto got = box.take();
  ASSERT_TRUE(got && *got);
  EXPECT_TRUE((*got)->fd);
}

// Guards against identification lines that never end or come byte by byte (russh CVE-2026-48108).
TEST(FirstBytes, EndsAtItsLimitItsTimeoutAndThePeersEnd) {
  RunningShard shard;
  auto never = [](BytesView) { return FirstBytesVerdict::kMore; };
  auto run = [&](testing::TcpPair& pair, std::chrono::milliseconds timeout) {
    auto box = std::make_shared<Box<Result<FirstBytes>>>();
    shard->post([&shard, &pair, timeout, never, box] {
      read_first_bytes(*shard, std::move(pair.left), 16, timeout, never,
                       [box](Result<FirstBytes> got) { box->put(std::move(got)); });
    });
    return box;
  };
  testing::TcpPair full;
  auto at_limit = run(full, 5s);
  testing::send_all(full.right.get(), std::string(64, 'a'));
  EXPECT_EQ(at_limit->take()->error().code, ErrorCode::kProtocol);
  testing::TcpPair slow;
  EXPECT_EQ(run(slow, 30ms)->take()->error().code, ErrorCode::kTimeout);
  testing::TcpPair gone;
  auto at_end = run(gone, 5s);
  gone.right.reset();
  EXPECT_EQ(at_end->take()->error().code, ErrorCode::kProtocol);
}

}  // namespace
}  // namespace mezite::net
