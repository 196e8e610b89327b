#include "ssh/wire/codec.hh"

#include <gtest/gtest.h>

#include "ssh/wire/messages.hh"

namespace mezite::ssh {
namespace {

using namespace wire;  // NOLINT: the messages of the connection layer

Bytes written(auto write) {
  Bytes out;
  Writer writer(out);
  write(writer);
  return out;
}

// RFC 4251 §5 gives these examples of mpint.
TEST(WireTest, MpintExamplesOfTheRfc) {
  const auto hex = [](const char* magnitude) {
    return to_hex(written([&](Writer& w) { w.mpint(*from_hex(magnitude)); }));
  };
  EXPECT_EQ(hex(""), "00000000");
  EXPECT_EQ(hex("00"), "00000000");
  EXPECT_EQ(hex("09a378f9b2e332a7"), "0000000809a378f9b2e332a7");
  EXPECT_EQ(hex("80"), "000000020080");
  EXPECT_EQ(hex("000080"), "000000020080");
}

TEST(WireTest, MpintReaderTakesMinimalNonNegativeOnly) {
  const auto read = [](const char* wire) -> std::string {
    const Bytes bytes = *from_hex(wire);
    Reader in(bytes);
    const BytesView magnitude = in.mpint();
    return in.at_end() ? to_hex(magnitude) : "failed";
  };
  EXPECT_EQ(read("00000000"), "");
  EXPECT_EQ(read("000000020080"), "80");
  EXPECT_EQ(read("0000000109"), "09");
  EXPECT_EQ(read("00000002edcc"), "failed");  // negative
  EXPECT_EQ(read("0000000100"), "failed");    // zero with a byte
  EXPECT_EQ(read("000000020001"), "failed");  // leading zero
  EXPECT_EQ(read("00000003008000"), "8000");
  EXPECT_EQ(read("ffffffff00"), "failed");
}

TEST(WireTest, ReaderFailureIsSticky) {
  const Bytes bytes = *from_hex("0000000561");
  Reader in(bytes);
  EXPECT_TRUE(in.string().empty());
  EXPECT_TRUE(in.failed());
  EXPECT_EQ(in.byte(), 0);
  EXPECT_EQ(in.u32(), 0u);
  EXPECT_EQ(in.u64(), 0u);
  EXPECT_TRUE(in.rest().empty());
  EXPECT_FALSE(in.at_end());
  EXPECT_EQ(in.finish("x").error().message, "malformed x");
  Reader more(bytes);
  more.u32();
  EXPECT_EQ(more.finish("x").error().code, ErrorCode::kProtocol);
}

TEST(WireTest, NameLists) {
  const auto read = [](std::string_view text) {
    const Bytes bytes = written([&](Writer& w) { w.string(text); });
    Reader in(bytes);
    NameList list = NameList::read(in);
    return in.at_end() ? std::optional(list) : std::nullopt;
  };
  EXPECT_EQ(read(""), NameList());
  EXPECT_EQ(read("a,b@c"), (NameList{"a", "b@c"}));
  EXPECT_EQ(read("a,a"), (NameList{"a", "a"}));
  EXPECT_FALSE(read(","));
  EXPECT_FALSE(read("a,"));
  EXPECT_FALSE(read(",a"));
  EXPECT_FALSE(read("a,,b"));
  EXPECT_FALSE(read("a b"));
  EXPECT_FALSE(read("\xc3\xa4"));
  EXPECT_FALSE(read(std::string_view("a\0b", 3)));
  EXPECT_TRUE(read(std::string(64, 'a')));
  EXPECT_FALSE(read(std::string(65, 'a')));
  std::string many = "a";
  for (int i = 1; i < 256; ++i) many += ",a";
  EXPECT_TRUE(read(many));
  EXPECT_FALSE(read(many + ",a"));
  EXPECT_EQ(negotiate({"x", "b", "a"}, {"a", "b"}), "b");
  EXPECT_EQ(negotiate({"x"}, {"a"}), "");
}

template <class T>
class MessageTest : public testing::Test {};
using AllMessages =
    testing::Types<DisconnectMessage, IgnoreMessage, UnimplementedMessage, DebugMessage, ServiceRequest, ServiceAccept,
                   ExtInfo, KexInit, NewKeys, KexEcdhInit, KexEcdhReply, Ping, Pong, UserauthRequest, UserauthPublickey,
                   UserauthPublickeyHostbound, UserauthPassword, UserauthKeyboardInteractive, UserauthFailure,
                   UserauthSuccess, UserauthBanner, UserauthPkOk, UserauthInfoRequest, UserauthInfoResponse,
                   GlobalRequest, RequestSuccess, RequestFailure, ChannelOpen, ChannelOpenConfirmation,
                   ChannelOpenFailure, ChannelWindowAdjust, ChannelData, ChannelExtendedData, ChannelEof, ChannelClose,
                   ChannelRequest, ChannelSuccess, ChannelFailure, DirectTcpip, ForwardedTcpip, X11Open,
                   DirectStreamlocal, ForwardedStreamlocal, TcpipForward, StreamlocalForward, PtyRequest, X11Request,
                   EnvRequest, ExecRequest, SubsystemRequest, WindowChangeRequest, SignalRequest, ExitStatusRequest,
                   ExitSignalRequest>;
TYPED_TEST_SUITE(MessageTest, AllMessages);

// What is true of every message: its empty form comes back, and every proper prefix is refused or (where the message
// ends in Rest or an optional string) read as a shorter message, never out of bounds.
TYPED_TEST(MessageTest, RoundTripsAndSurvivesTruncation) {
  const Bytes wire = encode(TypeParam{});
  const auto message = decode<TypeParam>(wire);
  ASSERT_TRUE(message) << message.error().message;
  EXPECT_EQ(encode(*message), wire);
  for (std::size_t size = 0; size < wire.size(); ++size) {
    const Bytes cut(wire.begin(), wire.begin() + static_cast<std::ptrdiff_t>(size));
    EXPECT_FALSE(decode<TypeParam>(cut)) << size;
  }
  if constexpr (Message<TypeParam>) {
    EXPECT_FALSE(message_name(wire[0]).empty());
    Bytes other = wire;
    other[0] ^= 0x7f;
    EXPECT_FALSE(decode<TypeParam>(other));
  }
}

TEST(CodecTest, KnownBytes) {
  EXPECT_EQ(to_hex(encode(ServiceRequest{"ssh-userauth"})), "050000000c7373682d7573657261757468");
  EXPECT_EQ(to_hex(encode(ChannelWindowAdjust{.recipient = 1, .bytes_to_add = 0x01020304})), "5d0000000101020304");
  const Bytes data = to_bytes("ls");
  EXPECT_EQ(to_hex(encode(ChannelData{.recipient = 7, .data = data})), "5e00000007000000026c73");
}

TEST(CodecTest, TrailingBytesAreRefused) {
  Bytes wire = encode(ChannelEof{.recipient = 1});
  wire.push_back(0);
  const auto message = decode<ChannelEof>(wire);
  ASSERT_FALSE(message);
  EXPECT_EQ(message.error().code, ErrorCode::kProtocol);
}

TEST(CodecTest, PublickeyProofNeedsItsSignature) {
  const Bytes key = to_bytes("key"), signature = to_bytes("signature");
  UserauthPublickey query{.has_signature = false, .algorithm = "ssh-ed25519", .public_key = key};
  EXPECT_TRUE(decode<UserauthPublickey>(encode(query)));
  query.signature = signature;
  EXPECT_FALSE(decode<UserauthPublickey>(encode(query)));
  query.has_signature = true;
  const Bytes wire = encode(query);
  const auto proof = decode<UserauthPublickey>(wire);
  ASSERT_TRUE(proof);
  EXPECT_EQ(to_text(*proof->signature), "signature");
  query.signature.reset();
  EXPECT_FALSE(decode<UserauthPublickey>(encode(query)));
}

// russh CVE-2026-42189: a count of answers that the bytes behind it do not back.
TEST(CodecTest, ImpossibleCountsCostNothing) {
  EXPECT_FALSE(decode<UserauthInfoResponse>(*from_hex("3dffffffff")));
  EXPECT_FALSE(decode<UserauthInfoResponse>(*from_hex("3d0000000200000000")));
  EXPECT_FALSE(decode<UserauthInfoRequest>(*from_hex("3c000000000000000000000000ffffffff")));
  Bytes many = *from_hex("3d00000101");
  many.resize(many.size() + 4 * 257);
  EXPECT_FALSE(decode<UserauthInfoResponse>(many));
}

TEST(CodecTest, CountedPartsRoundTrip) {
  UserauthInfoRequest request{.name = "n", .prompts = {{{"Password: ", false}, {"Code: ", true}}}};
  const auto again = decode<UserauthInfoRequest>(encode(request));
  ASSERT_TRUE(again);
  ASSERT_EQ(again->prompts.items.size(), 2u);
  EXPECT_EQ(again->prompts.items[1].text, "Code: ");
  EXPECT_TRUE(again->prompts.items[1].echo);
}

}  // namespace
}  // namespace mezite::ssh
