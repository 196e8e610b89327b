#include "net/shard.hh"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "net/testing.hh"
#include "net/worker_pool.hh"

namespace mezite::net {
namespace {

using namespace std::chrono_literals;

TEST(Shard, RunsPostedTasksInOrderFromManyThreads) {
  testing::RunningShard shard;
  std::vector<std::vector<int>> seen(4);
  std::vector<std::thread> threads;
  for (std::size_t t = 0; t < seen.size(); ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 1000; ++i) shard->post([&seen, t, i] { seen[t].push_back(i); });
    });
  }
  for (auto& thread : threads) thread.join();
  shard.call([] {});
  for (const auto& list : seen) {
    ASSERT_EQ(list.size(), 1000u);
    EXPECT_TRUE(std::is_sorted(list.begin(), list.end()));
  }
}

TEST(Shard, TimersFireInOrderOfTimeAndCanBeCancelled) {
  ManualClock clock;
  Shard shard(clock);
  std::string order;
  shard.after(30ms, [&] { order += 'c'; });
  TimerId gone = shard.after(20ms, [&] { order += 'x'; });
  shard.after(10ms, [&] {
    order += 'a';
    shard.cancel(gone);
    shard.after(5ms, [&] { order += 'b'; });
  });
  shard.turn(0ms);
  EXPECT_EQ(order, "");
  clock.advance(10ms);
  shard.turn(0ms);
  EXPECT_EQ(order, "a");
  EXPECT_EQ(gone, TimerId::kNone);
  clock.advance(25ms);
  shard.turn(0ms);
  EXPECT_EQ(order, "abc");
}

TEST(Shard, ATimerThatSetsItselfAnewDoesNotStarveTheLoop) {
  ManualClock clock;
  Shard shard(clock);
  int fired = 0;
  std::function<void()> again = [&] {
    ++fired;
    shard.after(0ms, again);
  };
  shard.after(0ms, again);
  shard.turn(0ms);
  EXPECT_EQ(fired, 1);
}

TEST(Shard, HandlersMayRemoveThemselvesAndEachOther) {
  Shard shard;
  testing::TcpPair one;
  testing::TcpPair two;
  int calls = 0;
  auto drop_both = [&](Ready) {
    ++calls;
    shard.unwatch(one.left.get());
    shard.unwatch(two.left.get());
  };
  ASSERT_TRUE(shard.watch(one.left.get(), Interest::kRead, Trigger::kLevel, drop_both));
  ASSERT_TRUE(shard.watch(two.left.get(), Interest::kRead, Trigger::kLevel, drop_both));
  testing::send_all(one.right.get(), "x");
  testing::send_all(two.right.get(), "x");
  for (int i = 0; i < 5; ++i) shard.turn(10ms);
  EXPECT_EQ(calls, 1);
}

TEST(Shard, AWatchDoesNotSeeEventsOfADescriptorThatHadItsNumber) {
  Shard shard;
  testing::TcpPair one;
  auto two = std::make_unique<testing::TcpPair>();
  int number = two->left.get();
  bool wrong = false;
  UniqueFd again;
  ASSERT_TRUE(shard.watch(one.left.get(), Interest::kRead, Trigger::kLevel, [&](Ready) {
    shard.unwatch(one.left.get());
    if (two == nullptr) return;
    shard.unwatch(number);
    two.reset();
    again.reset(::dup2(one.left.get(), number));
    ASSERT_TRUE(shard.watch(number, Interest::kWrite, Trigger::kLevel, [&](Ready ready) {
      wrong = !ready.writable;
      shard.unwatch(number);
    }));
  }));
  ASSERT_TRUE(shard.watch(number, Interest::kRead, Trigger::kLevel, [&](Ready) { FAIL(); }));
  testing::send_all(one.right.get(), "x");
  shard.turn(100ms);
  shard.turn(100ms);
  EXPECT_FALSE(wrong);
}

TEST(Shard, AHangUpIsNotReportedForEverToAWatchWithoutInterest) {
  Shard shard;
  testing::TcpPair pair;
  int calls = 0;
  ASSERT_TRUE(shard.watch(pair.left.get(), Interest::kRead, Trigger::kLevel, [&](Ready) {
    ++calls;
    shard.modify(pair.left.get(), Interest::kNone);
  }));
  testing::reset_on_close(pair.right.get());
  pair.right.reset();
  for (int i = 0; i < 10; ++i) shard.turn(5ms);
  EXPECT_EQ(calls, 1);
  shard.modify(pair.left.get(), Interest::kRead);
  shard.turn(100ms);
  EXPECT_EQ(calls, 2);
}

TEST(Shard, ReapsAChildAndTellsItsStatus) {
  Shard shard;
  pid_t child = ::fork();
  if (child == 0) ::_exit(7);
  int status = -1;
  ASSERT_TRUE(shard.on_child_exit(child, [&](int wait_status) { status = wait_status; }));
  for (int i = 0; i < 100 && status < 0; ++i) shard.turn(100ms);
  ASSERT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 7);
  EXPECT_EQ(::waitpid(child, nullptr, WNOHANG), -1);
}

TEST(Shard, HandsSignalsToTheirHandler) {
  std::thread([] {
    ASSERT_TRUE(Shard::block_signals({SIGUSR2}));
    Shard shard;
    int seen = 0;
    ASSERT_TRUE(shard.on_signals({SIGUSR2}, [&](int signal) { seen = signal; }));
    ::pthread_kill(::pthread_self(), SIGUSR2);
    shard.turn(1s);
    EXPECT_EQ(seen, SIGUSR2);
  }).join();
}

TEST(Shard, DestroysWhatIsLeftWhileItsMembersAreWhole) {
  auto token = std::make_shared<int>(0);
  testing::TcpPair pair;
  {
    Shard shard;
    struct Unwatcher {
      Shard* shard;
      int fd;
      std::shared_ptr<int> held;
      Unwatcher(Shard* s, int f, std::shared_ptr<int> h) : shard(s), fd(f), held(std::move(h)) {}
      ~Unwatcher() { shard->unwatch(fd); }
    };
    auto owner = std::make_shared<Unwatcher>(&shard, pair.left.get(), token);
    ASSERT_TRUE(shard.watch(pair.left.get(), Interest::kRead, Trigger::kLevel, [owner](Ready) {}));
    shard.post([owner] {});
    shard.after(1h, [owner] {});
  }
  EXPECT_EQ(token.use_count(), 1);
}

TEST(WorkerPool, IsBoundedAndSaysSo) {
  WorkerPool pool(1, 2);
  std::promise<void> go;
  std::promise<void> running;
  auto gate = go.get_future().share();
  ASSERT_TRUE(pool.submit([&running, gate] {
    running.set_value();
    gate.wait();
  }));
  running.get_future().wait();
  EXPECT_TRUE(pool.submit([] {}));
  EXPECT_TRUE(pool.submit([] {}));
  EXPECT_FALSE(pool.submit([] {}));
  EXPECT_EQ(pool.queued(), 2u);
  go.set_value();
  pool.stop();
  EXPECT_EQ(pool.queued(), 0u);
  EXPECT_FALSE(pool.submit([] {}));
}

TEST(WorkerPool, PostsTheResultBackToTheShard) {
  testing::RunningShard shard;
  WorkerPool pool(2);
  testing::Box<std::pair<int, Shard*>> box;
  ASSERT_TRUE(pool.submit(*shard, [] { return 42; }, [&](int result) { box.put({result, Shard::current()}); }));
  auto got = box.take();
  ASSERT_TRUE(got);
  EXPECT_EQ(got->first, 42);
  EXPECT_EQ(got->second, &*shard);
  pool.stop();
}

TEST(Gate, CountsWhatIsUnderWay) {
  Gate gate;
  {
    auto one = gate.enter();
    auto two = gate.enter();
    EXPECT_EQ(gate.count(), 2u);
    two = std::move(one);
    EXPECT_EQ(gate.count(), 1u);
  }
  EXPECT_EQ(gate.count(), 0u);
}

}  // namespace
}  // namespace mezite::net
