#include "base/byte_queue.hh"

#include <gtest/gtest.h>

#include <deque>
#include <random>

namespace mezite {
namespace {

// Against std::deque, with sizes around those at which blocks change.
TEST(ByteQueue, IsAQueue) {
  std::mt19937 random(7);
  ByteQueue queue;
  std::deque<std::uint8_t> model;
  std::uint8_t next = 0;
  const auto pick = [&random](std::size_t most) { return std::uniform_int_distribution<std::size_t>(0, most)(random); };
  for (int step = 0; step < 20000; ++step) {
    switch (pick(3)) {
      case 0:
      case 1: {
        const std::size_t want = pick(3) == 0 ? pick(200'000) : pick(300);
        const auto room = queue.room(want);
        ASSERT_GE(room.size(), want);
        const std::size_t written = pick(want);
        for (std::size_t i = 0; i < written; ++i) model.push_back(room[i] = next++);
        queue.commit(written);
        break;
      }
      case 2: {
        const std::size_t gone = std::min(pick(pick(2) == 0 ? 400'000 : 500), model.size());
        queue.consume(gone);
        model.erase(model.begin(), model.begin() + static_cast<std::ptrdiff_t>(gone));
        break;
      }
      default: queue.settle();
    }
    ASSERT_EQ(queue.size(), model.size());
    if (step % 50 == 0) {
      ASSERT_TRUE(std::equal(model.begin(), model.end(), queue.filled().begin()));
    }
  }
}

TEST(ByteQueue, GivesItsLargeBlockToTheNextOneAsSoonAsItIsEmpty) {
  ByteQueue first;
  ByteQueue second;
  const auto* block = first.room(100'000).data();
  first.commit(5);
  first.consume(5);
  EXPECT_EQ(second.room(100'000).data(), block);
}

TEST(ByteQueue, TakesTheSmallestBlockThatFits) {
  ByteQueue large;
  ByteQueue small;
  const auto* wide = large.room(600'000).data();
  const auto* narrow = small.room(100'000).data();
  for (ByteQueue* queue : {&small, &large}) {  // the large one comes back last
    queue->commit(5);
    queue->consume(5);
  }
  ByteQueue next;
  EXPECT_EQ(next.room(100'000).data(), narrow);
  ByteQueue other;
  EXPECT_EQ(other.room(600'000).data(), wide);
}

TEST(ByteQueue, StartsWithTheSizeThatItNeededLately) {
  ByteQueue queue;
  for (int round = 0; round < 2; ++round) {
    const auto* first = queue.room(100'000).data();
    for (int i = 0; i < 16; ++i) {
      std::ranges::fill(queue.room(33'000).first(33'000), std::uint8_t{1});
      queue.commit(33'000);
    }
    if (round == 1) {
      EXPECT_EQ(queue.filled().data(), first);  // it has not moved
    }
    queue.consume(queue.size());
  }
}

TEST(ByteQueue, LeavesALargeBlockWhenLittleIsLeftInIt) {
  ByteQueue slow;
  ByteQueue other;
  const auto* block = slow.room(100'000).data();
  slow.append(as_bytes("half a packet"));
  slow.settle();
  EXPECT_EQ(as_text(slow.filled()), "half a packet");
  EXPECT_EQ(other.room(100'000).data(), block);
}

TEST(ByteQueue, WipesWhatIsSmall) {
  ByteQueue queue;
  auto room = queue.room(100'000);
  const auto password = as_bytes("correct horse");
  std::copy(password.begin(), password.end(), room.begin());
  queue.commit(password.size());
  queue.consume(password.size());
  room = queue.room(100'000);  // the same block
  EXPECT_TRUE(std::all_of(room.begin(), room.begin() + 13, [](std::uint8_t byte) { return byte == 0; }));
}

}  // namespace
}  // namespace mezite
