// SFTP's packets, the scanner, and a client that is fed by a hostile server. First byte: which.
#include <cstdlib>

#include "ssh/sftp/client.hh"
#include "ssh/sftp/codec.hh"
#include "ssh/sftp/download.hh"
#include "ssh/sftp/scanner.hh"

namespace {

using namespace mezite;
using namespace mezite::ssh::sftp;

void requests(BytesView input) {
  (void)decode_request(input, Trailing::kIgnore);
  (void)decode_write_header(input.first(std::min(input.size(), kMaxWriteHeaderBytes)), input.size());
  const auto packet = decode_request(input);
  if (!packet) return;
  Bytes once, twice;
  encode_request(once, packet->id, packet->request);
  const auto again = decode_request(BytesView(once).subspan(4));
  if (!again) std::abort();
  encode_request(twice, again->id, again->request);
  if (once != twice) std::abort();
}

void replies(BytesView input) {
  (void)decode_limits(input);
  (void)decode_file_system(input);
  const auto packet = decode_reply(input);
  if (!packet) return;
  Bytes once, twice;
  encode_reply(once, packet->id, packet->reply);
  const auto again = decode_reply(BytesView(once).subspan(4));
  if (!again) std::abort();
  encode_reply(twice, again->id, again->reply);
  if (once != twice) std::abort();
}

// However the stream is cut, the packets are the same.
void scanner(BytesView input) {
  struct Sum final : PacketReader {
    std::size_t wanted(std::uint8_t type, std::size_t packet_bytes) override {
      return type % 2 == 0 ? type : packet_bytes;
    }
    Status on_packet(BytesView first, std::size_t size) override {
      total = total * 31 + first.size() + size + first[first.size() - 1];
      return {};
    }
    void on_rest(BytesView piece) override { rest += piece.size(); }
    std::size_t total = 0;
    std::size_t rest = 0;
  };
  Sum whole, cut;
  PacketScanner one(whole), many(cut);
  const bool good = one.feed(input).has_value();
  bool cut_good = true;
  for (std::size_t at = 0; at < input.size(); ++at) cut_good = many.feed(input.subspan(at, 1)).has_value() && cut_good;
  if (good != cut_good || whole.total != cut.total || whole.rest != cut.rest) std::abort();
}

// A download whose server says what it likes.
void client(BytesView input) {
  struct Sink final : FileSink {
    Status write(BytesView bytes, std::uint64_t) override {
      written += bytes.size();
      return {};
    }
    std::size_t written = 0;
  } sink;
  Client client;
  int told = 0;
  client.start([&](const Status& ready) {
    if (!ready) return;
    download(client, "f", sink, {.limits = {.max_requests = 4}}, [&](const Result<Downloaded>&) { ++told; });
  });
  for (BytesView rest = input; !rest.empty();) {
    client.consume_output(client.output_size());
    const std::size_t piece = std::min<std::size_t>(rest.size(), 97);
    client.feed(rest.first(piece));
    rest = rest.subspan(piece);
  }
  client.end({ErrorCode::kUnavailable, "over"});
  if (told > 1 || client.in_flight() != 0) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  constexpr void (*kChecks[])(BytesView) = {requests, replies, scanner, client};
  kChecks[data[0] % std::size(kChecks)](BytesView(data + 1, size - 1));
  return 0;
}
