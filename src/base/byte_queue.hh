// A run of bytes that grows at its end and is consumed from its front, without clearing what will be overwritten. Moves
// its content only when the room at the end is used up and at most as much as was consumed since, so that the cost per
// byte is constant. Empty, it holds no memory. Plaintext passes through: what is small, as passwords are, is wiped as
// soon as the queue is empty; large blocks are when the thread ends.
#pragma once

#include <string.h>

#include <algorithm>
#include <bit>
#include <cstdint>
#include <memory>
#include <span>
#include <utility>

#include "base/block_pool.hh"
#include "base/bytes.hh"

namespace mezite {

class ByteQueue {
 public:
  ByteQueue() = default;
  ~ByteQueue() { release(); }
  ByteQueue(const ByteQueue&) = delete;
  ByteQueue& operator=(const ByteQueue&) = delete;

  std::size_t size() const { return tail_ - head_; }
  bool empty() const { return head_ == tail_; }
  BytesView filled() const { return {block_.bytes.get() + head_, size()}; }
  std::span<std::uint8_t> filled() { return {block_.bytes.get() + head_, size()}; }

  // At least bytes of room at the end (all there is); invalidates views.
  std::span<std::uint8_t> room(std::size_t bytes) {
    if (block_.capacity - tail_ < bytes) make_room(bytes);
    return {block_.bytes.get() + tail_, block_.capacity - tail_};
  }
  // bytes of the room have been written. At most what room() gave.
  void commit(std::size_t bytes) {
    tail_ += std::min(bytes, block_.capacity - tail_);
    if (empty()) release();
  }
  void consume(std::size_t bytes) {
    head_ += std::min(bytes, size());
    if (bytes > 0 && empty()) release();  // 0: perhaps a packet is being written
  }
  void append(BytesView bytes) {
    if (bytes.empty()) return;
    std::copy(bytes.begin(), bytes.end(), room(bytes.size()).begin());
    commit(bytes.size());
  }
  // Nothing is to come for a while: what is left moves out of a block that is far too large for it.
  void settle() {
    if (empty() || block_.capacity < BlockPool::kSmallest || size() > kSmallBytes) return;
    move_to(allocate(size()));
  }

 private:
  static constexpr std::size_t kSmallBytes = 4096;
  static constexpr std::size_t kWipedBytes = std::size_t{16} << 10;

  static Block allocate(std::size_t bytes) {
    if (bytes > BlockPool::kSmallest / 2) return BlockPool::of_thread().take(bytes);
    const std::size_t capacity = std::bit_ceil(std::max(bytes, std::size_t{256}));
    return {std::make_unique_for_overwrite<std::uint8_t[]>(capacity), capacity};
  }
  void make_room(std::size_t bytes) {
    const std::size_t filled_bytes = size();
    if (block_.capacity - filled_bytes >= bytes && head_ >= filled_bytes) {
      std::copy(block_.bytes.get() + head_, block_.bytes.get() + tail_, block_.bytes.get());
      used_ = std::max(used_, tail_);
      head_ = 0;
      tail_ = filled_bytes;
      return;
    }
    move_to(allocate(std::max({2 * filled_bytes, filled_bytes + bytes, std::min(lately_, BlockPool::kLargest)})));
  }
  void move_to(Block larger) {
    const std::size_t filled_bytes = size();
    if (filled_bytes > 0) {
      std::copy(block_.bytes.get() + head_, block_.bytes.get() + tail_, larger.bytes.get());
    }
    release();
    block_ = std::move(larger);
    tail_ = filled_bytes;
  }
  void release() {
    used_ = std::max(used_, tail_);
    if (block_.bytes && (used_ <= kWipedBytes || block_.capacity < BlockPool::kSmallest)) {
      ::explicit_bzero(block_.bytes.get(), used_);
    }
    if (block_.capacity >= BlockPool::kSmallest) BlockPool::of_thread().give_back(std::move(block_));
    block_ = {};
    lately_ = used_;
    head_ = tail_ = used_ = 0;
  }

  Block block_;
  std::size_t head_ = 0;
  std::size_t tail_ = 0;
  std::size_t used_ = 0;    // how far the block has been written, before the content last moved
  std::size_t lately_ = 0;  // how much the last block had to hold: the next is to do without growing
};

}  // namespace mezite
