#include "ssh/sftp/codec.hh"

#include <gtest/gtest.h>

#include <random>

#include "ssh/sftp/scanner.hh"

namespace mezite::ssh::sftp {
namespace {

Attributes all_attributes() {
  return {.size = 1ull << 40,
          .owner = Attributes::Owner{1000, 100},
          .permissions = 0100644,
          .times = Attributes::Times{1, 0xfffffff0}};
}

// One of each, with something in every field.
std::vector<Request> every_request() {
  static const Bytes handle = to_bytes("\x01\x02\x03\x04");
  static const Bytes data(1000, 0x5a);
  const Attributes a = all_attributes();
  return {Init{.version = 3, .extensions = {{{"a@b", "1"}}}},
          Open{"/etc/pass\nwd", kOpenRead | kOpenWrite, a},
          Close{handle},
          Read{handle, 1ull << 33, 4096},
          Write{handle, 7, data},
          Lstat{"p"},
          Fstat{handle},
          Setstat{"p", a},
          Fsetstat{handle, a},
          Opendir{"."},
          Readdir{handle},
          Remove{"-rf"},
          Mkdir{"d", a},
          Rmdir{"d"},
          Realpath{""},
          Stat{"\xc3\xa4"},
          Rename{"a", "b"},
          Readlink{"l"},
          Symlink{"to", "from"},
          PosixRename{"a", "b"},
          Statvfs{"/"},
          Fstatvfs{handle},
          Hardlink{"a", "b"},
          Fsync{handle},
          Lsetstat{"l", a},
          LimitsRequest{},
          ExpandPath{"~root"},
          CopyData{handle, 1, 2, handle, 3},
          HomeDirectory{"root"},
          UnknownExtended{"x@y", {data}}};
}

std::vector<Reply> every_reply() {
  static const Bytes text = to_bytes("Failure");
  return {VersionReply{.version = 3, .extensions = {{{"limits@openssh.com", "1"}, {"x", ""}}}},
          StatusReply{StatusCode::kFailure, BytesView(text), BytesView()},
          HandleReply{text},
          DataReply{text},
          NameReply{{{{"a", "-rw-r--r-- a", all_attributes()}, {"b", "", {}}}}},
          AttrsReply{all_attributes()},
          ExtendedReply{{text}}};
}

Bytes encoded(const Request& request) {
  Bytes out;
  encode_request(out, 77, request);
  return out;
}
Bytes encoded(const Reply& reply) {
  Bytes out;
  encode_reply(out, 77, reply);
  return out;
}
BytesView packet_of(const Bytes& framed) { return BytesView(framed).subspan(4); }

TEST(SftpCodecTest, EveryRequestComesBack) {
  const auto requests = every_request();
  ASSERT_EQ(requests.size(), std::variant_size_v<Request>);
  for (const auto& request : requests) {
    const Bytes once = encoded(request);
    EXPECT_EQ(std::size_t{once[2]} << 8 | once[3], once.size() - 4);
    const auto again = decode_request(packet_of(once));
    ASSERT_TRUE(again) << again.error().message;
    EXPECT_EQ(again->request.index(), request.index());
    EXPECT_EQ(again->id, request.index() == 0 ? 0u : 77u);
    EXPECT_EQ(encoded(again->request), once) << request.index();
  }
}

TEST(SftpCodecTest, EveryReplyComesBack) {
  const auto replies = every_reply();
  ASSERT_EQ(replies.size(), std::variant_size_v<Reply>);
  for (const auto& reply : replies) {
    const Bytes once = encoded(reply);
    const auto again = decode_reply(packet_of(once));
    ASSERT_TRUE(again) << again.error().message;
    EXPECT_EQ(again->reply.index(), reply.index());
    EXPECT_EQ(encoded(again->reply), once) << reply.index();
  }
}

// Cut anywhere, a packet is refused or (where it ends in what is optional) read as a shorter one; never out of bounds.
TEST(SftpCodecTest, TruncationNeverReadsOn) {
  for (const auto& request : every_request()) {
    const Bytes wire = encoded(request);
    for (std::size_t size = 0; size + 4 < wire.size(); ++size) {
      const Bytes cut(wire.begin() + 4, wire.begin() + 4 + static_cast<std::ptrdiff_t>(size));
      const auto got = decode_request(cut);
      if (got) {
        EXPECT_TRUE(std::holds_alternative<Init>(request) || std::holds_alternative<UnknownExtended>(request));
      }
    }
  }
  for (const auto& reply : every_reply()) {
    const Bytes wire = encoded(reply);
    for (std::size_t size = 0; size + 4 < wire.size(); ++size) {
      const Bytes cut(wire.begin() + 4, wire.begin() + 4 + static_cast<std::ptrdiff_t>(size));
      (void)decode_reply(cut);
    }
  }
}

TEST(SftpCodecTest, HostileBytesAreRefusedOrReadAsTheyEncode) {
  std::mt19937 random(7);
  for (int round = 0; round < 20000; ++round) {
    auto requests = every_request();
    Bytes wire = encoded(requests[random() % requests.size()]);
    for (unsigned i = 0; i <= random() % 4; ++i)
      wire[4 + random() % (wire.size() - 4)] = static_cast<std::uint8_t>(random());
    const auto got = decode_request(packet_of(wire));
    if (!got) continue;
    Bytes once;
    encode_request(once, got->id, got->request);
    const auto again = decode_request(packet_of(once));
    ASSERT_TRUE(again);
    Bytes twice;
    encode_request(twice, again->id, again->request);
    ASSERT_EQ(once, twice);
  }
}

TEST(SftpCodecTest, CountsThatLieEndWithTheInput) {
  // SSH_FXP_NAME with 2^32 − 1 entries; attributes with as many extended pairs.
  EXPECT_FALSE(decode_reply(*from_hex("6800000001ffffffff")));
  EXPECT_FALSE(decode_reply(*from_hex("690000000180000000ffffffff0000000000000000")));
  EXPECT_FALSE(decode_reply(*from_hex("6700000001ffffffff00")));
}

TEST(SftpCodecTest, UnknownTypesAndDirections) {
  for (const int type : {0, 2, 21, 100, 101, 105, 201, 255}) {
    const Bytes packet = {static_cast<std::uint8_t>(type), 0, 0, 0, 1, 0, 0, 0, 0};
    EXPECT_FALSE(decode_request(packet)) << type;
  }
  for (const int type : {0, 1, 3, 20, 106, 200, 255}) {
    const Bytes packet = {static_cast<std::uint8_t>(type), 0, 0, 0, 1, 0, 0, 0, 0};
    EXPECT_FALSE(decode_reply(packet)) << type;
  }
  EXPECT_FALSE(decode_request({}));
  EXPECT_FALSE(decode_reply({}));
}

TEST(SftpCodecTest, TrailingBytesAreTheReadersChoice) {
  Bytes wire = encoded(Request(Remove{"x"}));
  wire.push_back(0);
  EXPECT_FALSE(decode_request(packet_of(wire)));
  const auto lenient = decode_request(packet_of(wire), Trailing::kIgnore);
  ASSERT_TRUE(lenient);
  EXPECT_EQ(std::get<Remove>(lenient->request).path, "x");
  wire.resize(wire.size() - 2);  // cut, not trailing
  EXPECT_FALSE(decode_request(packet_of(wire), Trailing::kIgnore));
}

TEST(SftpCodecTest, WriteHeaders) {
  const Bytes handle = to_bytes("hand"), data = to_bytes("12345");
  const Bytes whole = encoded(Request(Write{handle, 99, data}));
  Bytes head;
  encode_write_header(head, {.id = 77, .handle = handle, .offset = 99, .data_bytes = 5});
  EXPECT_EQ(head, Bytes(whole.begin(), whole.end() - 5));
  const auto got = decode_write_header(packet_of(head), whole.size() - 4);
  ASSERT_TRUE(got);
  EXPECT_EQ(got->data_bytes, 5u);
  EXPECT_EQ(got->offset, 99u);
  // Longer than its packet.
  EXPECT_FALSE(decode_write_header(packet_of(head), whole.size() - 5));
  EXPECT_FALSE(decode_write_header(packet_of(head).first(12), whole.size() - 4));
}

// ---- scanner

struct Collected final : PacketReader {
  std::size_t wanted(std::uint8_t type, std::size_t packet_bytes) override { return type == 6 ? 10 : packet_bytes; }
  Status on_packet(BytesView first_bytes, std::size_t packet_bytes) override {
    seen += fmt::format("{}:{}/{} ", first_bytes[0], first_bytes.size(), packet_bytes);
    if (first_bytes[0] == 66) return fail(ErrorCode::kProtocol, "enough");
    return {};
  }
  void on_rest(BytesView piece) override { rest += piece.size(); }
  std::string seen;
  std::size_t rest = 0;
};

Bytes raw_packet(std::uint8_t type, std::size_t size) {
  Bytes out;
  Writer(out).u32(static_cast<std::uint32_t>(size)).byte(type);
  out.resize(4 + size, 0xaa);
  return out;
}

TEST(SftpScannerTest, CutsAlikeWhateverThePieces) {
  Bytes stream;
  for (const auto& [type, size] : {std::pair<int, std::size_t>{3, 20}, {6, 5000}, {5, 1}, {6, 10}, {6, 7}, {9, 9000}}) {
    const Bytes packet = raw_packet(static_cast<std::uint8_t>(type), size);
    stream.insert(stream.end(), packet.begin(), packet.end());
  }
  for (const std::size_t piece : {1, 2, 3, 4, 5, 7, 13, 64, 4096, 100000}) {
    Collected collected;
    PacketScanner scanner(collected);
    for (std::size_t at = 0; at < stream.size(); at += piece) {
      ASSERT_TRUE(scanner.feed(BytesView(stream).subspan(at, std::min(piece, stream.size() - at))));
    }
    EXPECT_EQ(collected.seen, "3:20/20 6:10/5000 5:1/1 6:10/10 6:7/7 9:9000/9000 ") << piece;
    EXPECT_EQ(collected.rest, 4990u);
    EXPECT_TRUE(scanner.at_boundary());
  }
}

TEST(SftpScannerTest, LengthsOutOfBoundsEndTheScan) {
  for (const std::uint32_t size : {0u, 262145u, 0x7fffffffu, 0xffffffffu}) {
    Collected collected;
    PacketScanner scanner(collected);
    Bytes head;
    Writer(head).u32(size).byte(3);
    EXPECT_FALSE(scanner.feed(head)) << size;
    EXPECT_TRUE(scanner.failed());
    EXPECT_TRUE(scanner.feed(raw_packet(3, 8)));  // nothing is read any more
    EXPECT_EQ(collected.seen, "");
  }
  Collected collected;
  PacketScanner scanner(collected);
  EXPECT_TRUE(scanner.feed(raw_packet(3, kMaxPacketBytes)));
  EXPECT_EQ(collected.seen, "3:262144/262144 ");
}

TEST(SftpScannerTest, AReaderEndsIt) {
  Collected collected;
  PacketScanner scanner(collected);
  Bytes stream = raw_packet(66, 2);
  stream.insert(stream.end(), {0, 0, 0, 1, 3});
  EXPECT_FALSE(scanner.feed(stream));
  EXPECT_EQ(collected.seen, "66:2/2 ");
}

}  // namespace
}  // namespace mezite::ssh::sftp
