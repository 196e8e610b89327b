#include "recording/segment_bytes.hh"

#include <cstdlib>
#include <cstring>
#include <utility>

namespace mezite::recording {

SegmentBytes& SegmentBytes::operator=(SegmentBytes&& other) noexcept {
  memory_ = std::move(other.memory_);
  memory_bytes_ = std::exchange(other.memory_bytes_, 0);
  size_ = std::exchange(other.size_, 0);
  return *this;
}

void SegmentBytes::append(BytesView bytes) {
  if (bytes.empty()) return;
  reserve(size_ + bytes.size());
  std::memcpy(memory_.get() + kRoomBefore + size_, bytes.data(), bytes.size());
  size_ += bytes.size();
}

std::span<std::uint8_t> SegmentBytes::room() {
  if (!is_whole()) return {};
  return memory().subspan(kRoomBefore, kMaxBytes).subspan(size_);
}

bool SegmentBytes::is_shared() const {
  if (memory_.use_count() > 1) return true;
  // use_count() orders nothing; to count up and down does: what the last other one did with the memory is done.
  [[maybe_unused]] const auto ordered = memory_;
  return false;
}

void SegmentBytes::reserve(std::size_t bytes) {
  std::size_t wanted = memory_bytes_ > 0 ? memory_bytes_ : 2 * kPageBytes;
  while (wanted < kRoomBefore + bytes + kRoomBehind) wanted *= 2;
  if (wanted == memory_bytes_) return;
  std::shared_ptr<std::uint8_t> grown(static_cast<std::uint8_t*>(std::aligned_alloc(kPageBytes, wanted)), std::free);
  if (!grown) std::abort();  // as operator new would end a program that does not catch
  if (size_ > 0) std::memcpy(grown.get() + kRoomBefore, memory_.get() + kRoomBefore, size_);
  memory_ = std::move(grown);
  memory_bytes_ = wanted;
}

}  // namespace mezite::recording
