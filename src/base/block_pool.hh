// Large blocks of memory, lent to byte queues while they hold something: a connection that is idle keeps none, and one
// block that is warm in the cache serves all connections of a thread.
#pragma once

#include <string.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <memory>
#include <utility>

namespace mezite {

struct Block {
  std::unique_ptr<std::uint8_t[]> bytes;
  std::size_t capacity = 0;
};

// Of one thread; a block may be given back on another thread than it was taken on.
class BlockPool {
 public:
  static constexpr std::size_t kSmallest = std::size_t{64} << 10;  // less is malloc()'s business
  static constexpr std::size_t kLargest = std::size_t{2} << 20;
  static constexpr std::size_t kBlocks = 4;

  static BlockPool& of_thread() {
    thread_local BlockPool pool;
    return pool;
  }
  ~BlockPool() {
    for (Block& block : blocks_) {
      if (block.bytes) ::explicit_bzero(block.bytes.get(), block.capacity);
    }
  }

  // At least `bytes`; the content is whatever it was.
  Block take(std::size_t bytes) {
    std::size_t best = count_;
    for (std::size_t i = count_; i-- > 0;) {  // of equals the last one that came back is the warmest
      const bool fits = blocks_[i].capacity >= bytes;
      if (fits && (best == count_ || blocks_[i].capacity < blocks_[best].capacity)) best = i;
    }
    if (best < count_) {
      Block found = std::move(blocks_[best]);
      std::move(blocks_.begin() + static_cast<std::ptrdiff_t>(best) + 1,
                blocks_.begin() + static_cast<std::ptrdiff_t>(count_),
                blocks_.begin() + static_cast<std::ptrdiff_t>(best));
      --count_;
      return found;
    }
    const std::size_t capacity = std::bit_ceil(std::max(bytes, 4 * kSmallest));
    return {std::make_unique_for_overwrite<std::uint8_t[]>(capacity), capacity};
  }

  void give_back(Block block) {
    if (count_ < kBlocks && block.capacity <= kLargest) {
      blocks_[count_++] = std::move(block);
      return;
    }
    ::explicit_bzero(block.bytes.get(), block.capacity);
  }

 private:
  std::array<Block, kBlocks> blocks_;
  std::size_t count_ = 0;
};

}  // namespace mezite
