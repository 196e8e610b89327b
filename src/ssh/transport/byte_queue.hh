// A run of bytes that grows at its end and is consumed from its front, without clearing what will be overwritten. Moves
// its content only when the room at the end is used up and at most as much as was consumed since, so that the cost per
// byte is constant. Wiped when destroyed: plaintext passes through.
#pragma once

#include <string.h>

#include <algorithm>
#include <cstdint>
#include <memory>
#include <span>

#include "base/bytes.hh"

namespace mezite::ssh {

class ByteQueue {
 public:
  ByteQueue() = default;
  ~ByteQueue() { wipe(); }
  ByteQueue(const ByteQueue&) = delete;
  ByteQueue& operator=(const ByteQueue&) = delete;

  std::size_t size() const { return tail_ - head_; }
  bool empty() const { return head_ == tail_; }
  BytesView filled() const { return {bytes_.get() + head_, size()}; }
  std::span<std::uint8_t> filled() { return {bytes_.get() + head_, size()}; }

  // At least bytes of room at the end (all there is); invalidates views.
  std::span<std::uint8_t> room(std::size_t bytes) {
    if (capacity_ - tail_ < bytes) make_room(bytes);
    return {bytes_.get() + tail_, capacity_ - tail_};
  }
  // bytes of the room have been written. At most what room() gave.
  void commit(std::size_t bytes) { tail_ += std::min(bytes, capacity_ - tail_); }
  void consume(std::size_t bytes) {
    head_ += std::min(bytes, size());
    if (head_ == tail_) head_ = tail_ = 0;
  }
  void append(BytesView bytes) {
    if (bytes.empty()) return;
    std::copy(bytes.begin(), bytes.end(), room(bytes.size()).begin());
    commit(bytes.size());
  }

 private:
  static constexpr std::size_t kFirstBytes = 4096;

  void make_room(std::size_t bytes) {
    const std::size_t filled_bytes = size();
    if (capacity_ - filled_bytes >= bytes && head_ >= filled_bytes) {
      std::copy(bytes_.get() + head_, bytes_.get() + tail_, bytes_.get());
    } else {
      const std::size_t capacity = std::max({kFirstBytes, 2 * capacity_, filled_bytes + bytes});
      auto larger = std::make_unique_for_overwrite<std::uint8_t[]>(capacity);
      if (filled_bytes > 0) std::copy(bytes_.get() + head_, bytes_.get() + tail_, larger.get());
      wipe();
      bytes_ = std::move(larger);
      capacity_ = capacity;
    }
    head_ = 0;
    tail_ = filled_bytes;
  }
  void wipe() {
    if (bytes_) ::explicit_bzero(bytes_.get(), capacity_);
  }

  std::unique_ptr<std::uint8_t[]> bytes_;
  std::size_t capacity_ = 0;
  std::size_t head_ = 0;
  std::size_t tail_ = 0;
};

}  // namespace mezite::ssh
