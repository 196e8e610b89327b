// For the tests of this folder: recordings that somebody rewrote.
#pragma once

#include <array>
#include <filesystem>
#include <string>
#include <vector>

#include "base/file.hh"
#include "recording/wire.hh"

namespace mezite::recording {

// Written by hand, as somebody would who may write to the node's disk: everything in it but the tags can be made anew.
struct Forged {
  struct Segment {
    wire::Frame frame;
    Bytes block;
    Tag tag{};
    std::uint64_t offset = 0;  // in the file that it came from
  };
  std::string header_json;
  Tag header_tag{};
  std::vector<Segment> segments;

  static Forged take_apart(const std::filesystem::path& path) {
    return take_apart(BytesView(read_file(path, std::size_t{1} << 30).value()));
  }
  static Forged take_apart(BytesView bytes) {
    Forged forged;
    BytesView rest = bytes;
    const std::uint32_t size = wire::get_u32(rest.subspan(8));
    forged.header_json = std::string(as_text(rest.subspan(wire::kPreambleBytes, size)));
    rest = rest.subspan(wire::kPreambleBytes + size);
    auto trailer = wire::get_trailer(rest);
    forged.header_tag = trailer.tag;
    rest = rest.subspan(wire::kTrailerBytes);
    while (!rest.empty()) {
      Segment segment{.frame = wire::decode_frame(rest.first(wire::kFrameBytes), trailer.sum).value(),
                      .block = {},
                      .offset = bytes.size() - rest.size()};
      segment.block = to_bytes(rest.subspan(wire::kFrameBytes, segment.frame.block_bytes));
      rest = rest.subspan(wire::kFrameBytes + segment.block.size());
      trailer = wire::get_trailer(rest);
      segment.tag = trailer.tag;
      rest = rest.subspan(wire::kTrailerBytes);
      forged.segments.push_back(std::move(segment));
    }
    return forged;
  }

  // With all checks and sums made anew, and index and footer where they are now.
  Bytes put_together() const {
    Bytes bytes = to_bytes(wire::kMagic);
    wire::put_u32(bytes, static_cast<std::uint32_t>(header_json.size()));
    append(bytes, as_bytes(header_json));
    append(bytes, header_tag);
    Sum sum = sum_of(std::array<BytesView, 1>{bytes});
    append(bytes, sum);
    std::uint64_t index = 0, number = 0;
    for (const Segment& segment : segments) {
      ++number;
      wire::Frame frame = segment.frame;
      Bytes block = segment.block;
      if (frame.kind == wire::SegmentKind::kIndex) {
        index = bytes.size();
      } else if (frame.kind == wire::SegmentKind::kFooter) {
        block.clear();
        wire::put_u64(block, index);
        wire::put_u64(block, number - 1);
      }
      frame.block_bytes = static_cast<std::uint32_t>(block.size());
      const auto frame_bytes = wire::encode_frame(frame, sum);
      sum = sum_of(std::array<BytesView, 4>{sum, frame_bytes, block, segment.tag});
      append(bytes, frame_bytes);
      append(bytes, block);
      append(bytes, segment.tag);
      append(bytes, sum);
    }
    return bytes;
  }

  static void append(Bytes& out, BytesView more) { out.insert(out.end(), more.begin(), more.end()); }
};

}  // namespace mezite::recording
