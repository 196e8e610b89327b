// The events of one segment, in memory from which the segment can go to the disk as it stands: there is room before
// them for what the file has before a block, room behind for what comes after it, and all of it begins at a page, as
// writes past the kernel's cache (O_DIRECT) want it.
#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "recording/direct_io.hh"
#include "recording/wire.hh"

namespace mezite::recording {

inline constexpr std::size_t kSegmentMemoryBytes = 128 * 1024;

class SegmentBytes {
 public:
  static constexpr std::size_t kRoomBefore = wire::kFrameBytes + wire::kStoredHeaderBytes;
  static constexpr std::size_t kRoomBehind = wire::kMinPaddingBytes + kPageBytes + wire::kTrailerBytes;
  static constexpr std::size_t kMaxBytes = kSegmentMemoryBytes - kRoomBefore - kRoomBehind;
  static_assert(kMaxBytes <= wire::kMaxStoredBytes);

  // Takes memory when something is appended: two pages first, more by doubling.
  SegmentBytes() = default;
  // With all the memory that it will ever need: kSegmentMemoryBytes, beginning at a page.
  explicit SegmentBytes(std::shared_ptr<std::uint8_t> memory)
      : memory_(std::move(memory)), memory_bytes_(kSegmentMemoryBytes) {}
  SegmentBytes(SegmentBytes&& other) noexcept { *this = std::move(other); }
  SegmentBytes& operator=(SegmentBytes&& other) noexcept;

  // Not more than kMaxBytes in all.
  void append(BytesView bytes);
  void clear() { size_ = 0; }
  // What is behind, up to kMaxBytes; empty unless is_whole(). grow() makes the first bytes of it part of the whole.
  std::span<std::uint8_t> room();
  void grow(std::size_t bytes) { size_ += bytes; }

  bool empty() const { return size_ == 0; }
  std::size_t size() const { return size_; }
  operator BytesView() const { return empty() ? BytesView() : BytesView(memory_.get() + kRoomBefore, size_); }

  // Whether it has room for kMaxBytes without taking memory.
  bool is_whole() const { return memory_bytes_ == kSegmentMemoryBytes; }
  // Keeps the memory from being given to others, whoever has this; then it is shared.
  std::shared_ptr<const void> keep() const { return memory_; }
  bool is_shared() const;
  // All of it; the events begin at kRoomBefore.
  std::span<std::uint8_t> memory() { return {memory_.get(), memory_bytes_}; }

 private:
  void reserve(std::size_t bytes);

  std::shared_ptr<std::uint8_t> memory_;
  std::size_t memory_bytes_ = 0;
  std::size_t size_ = 0;
};

}  // namespace mezite::recording
