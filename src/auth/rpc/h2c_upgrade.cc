#include "auth/rpc/h2c_upgrade.hh"

#include <algorithm>
#include <array>

#include "base/ascii.hh"
#include "base/text.hh"
#include "net/http/codec.hh"

namespace mezite::auth::rpc {
namespace {

constexpr std::size_t kFrameHeaderBytes = 9;
constexpr std::size_t kMaxFrameBytes = 16 << 10;
constexpr std::uint8_t kData = 0, kHeaders = 1, kSettings = 4;
constexpr std::uint8_t kEndStream = 1, kEndHeaders = 4;

bool has_token(std::string_view list, std::string_view token) {
  return std::ranges::any_of(split(list, ','), [&](std::string_view one) { return lower(trim(one)) == token; });
}

void put_frame(Bytes& out, std::uint8_t type, std::uint8_t flags, BytesView payload) {
  const std::size_t size = payload.size();
  const std::array<std::uint8_t, kFrameHeaderBytes> header{static_cast<std::uint8_t>(size >> 16),
                                                           static_cast<std::uint8_t>(size >> 8),
                                                           static_cast<std::uint8_t>(size),
                                                           type,
                                                           flags,
                                                           0,
                                                           0,
                                                           0,
                                                           type == kSettings ? std::uint8_t{0} : std::uint8_t{1}};
  out.insert(out.end(), header.begin(), header.end());
  out.insert(out.end(), payload.begin(), payload.end());
}

// RFC 7541 §5.2, without Huffman's code.
void put_string(Bytes& out, std::string_view text) {
  std::size_t left = text.size();
  if (left < 127) {
    out.push_back(static_cast<std::uint8_t>(left));
  } else {
    out.push_back(127);
    for (left -= 127; left >= 128; left /= 128) out.push_back(static_cast<std::uint8_t>(left % 128 + 128));
    out.push_back(static_cast<std::uint8_t>(left));
  }
  out.insert(out.end(), text.begin(), text.end());
}

// §6.2.2: a literal that goes into no table.
void put_field(Bytes& out, std::string_view name, std::string_view value) {
  out.push_back(0);
  put_string(out, name);
  put_string(out, value);
}

// What HTTP/2 has no place for (RFC 7540 §8.1.2.2).
bool is_of_the_connection(std::string_view name) {
  constexpr std::array kNames{
      std::string_view("connection"), std::string_view("upgrade"),          std::string_view("http2-settings"),
      std::string_view("keep-alive"), std::string_view("proxy-connection"), std::string_view("transfer-encoding"),
      std::string_view("host"),       std::string_view("content-length"),   std::string_view("expect")};
  return std::ranges::find(kNames, name) != kNames.end();
}

Result<Bytes> header_block(const net::http::Request& request) {
  Bytes block;
  put_field(block, ":method", request.method);
  put_field(block, ":scheme", "http");
  put_field(block, ":path", request.path);
  put_field(block, ":authority", request.headers.get("host"));
  for (const auto& [field, value] : request.headers.all()) {
    const std::string name = lower(field);
    const bool is_named = name != "te" && has_token(request.headers.get("connection"), name);
    if (is_of_the_connection(name) || is_named || (name == "te" && value != "trailers")) continue;
    put_field(block, name, value);
  }
  if (block.size() > kMaxFrameBytes) return fail(ErrorCode::kResourceExhausted, "the request's head is too large");
  return block;
}

}  // namespace

struct H2cUpgrade::State {
  net::http::RequestParser parser{kMaxHeadBytes, kMaxBodyBytes};
  Bytes waiting;  // not taken yet
  bool upgraded = false;
  Bytes headers;
  std::string body;
};

H2cUpgrade::H2cUpgrade() : state_(std::make_unique<State>()) {}
H2cUpgrade::~H2cUpgrade() = default;

std::string_view H2cUpgrade::reply() {
  return "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n";
}

std::string_view H2cUpgrade::refusal() {
  return "HTTP/1.1 426 Upgrade Required\r\nConnection: Upgrade, close\r\nUpgrade: h2c\r\nContent-Type: text/plain\r\n"
         "Content-Length: 100\r\n\r\n"
         "This is mezhub's gRPC port: it speaks TLS 1.3, and HTTP/2 in clear to a load balancer that ends TLS\n";
}

Result<H2cUpgrade::Wants> H2cUpgrade::feed(BytesView bytes) {
  State& state = *state_;
  state.waiting.insert(state.waiting.end(), bytes.begin(), bytes.end());
  if (!state.upgraded) {
    while (!state.parser.done() && !state.waiting.empty()) {
      MEZ_TRY(const std::size_t taken, state.parser.feed(state.waiting));
      if (taken == 0) break;
      state.waiting.erase(state.waiting.begin(), state.waiting.begin() + static_cast<std::ptrdiff_t>(taken));
    }
    if (!state.parser.done()) {
      if (state.waiting.size() > kMaxHeadBytes) return fail(ErrorCode::kResourceExhausted, "the head is too large");
      return Wants::kMore;
    }
    MEZ_TRY(net::http::Request request, state.parser.take());
    if (!has_token(request.headers.get("upgrade"), "h2c") || !has_token(request.headers.get("connection"), "upgrade") ||
        request.headers.count("http2-settings") != 1) {
      return fail(ErrorCode::kProtocol, "HTTP/1.1 that asks for nothing better");
    }
    MEZ_TRY(state.headers, header_block(request));
    state.body = std::move(request.body);
    state.upgraded = true;
    return Wants::kReply;
  }
  const BytesView said = state.waiting;
  const std::size_t known = std::min(said.size(), kHttp2Preface.size());
  if (!std::ranges::equal(said.first(known), as_bytes(kHttp2Preface).first(known))) {
    return fail(ErrorCode::kProtocol, "no preface of HTTP/2 behind the upgrade");
  }
  if (said.size() < kHttp2Preface.size() + kFrameHeaderBytes) return Wants::kMore;
  const BytesView frame = said.subspan(kHttp2Preface.size());
  const std::size_t size = std::size_t{frame[0]} << 16 | std::size_t{frame[1]} << 8 | frame[2];
  if (frame[3] != kSettings || size > kMaxFrameBytes) {
    return fail(ErrorCode::kProtocol, "no SETTINGS behind the preface of HTTP/2");
  }
  return frame.size() < kFrameHeaderBytes + size ? Wants::kMore : Wants::kNothing;
}

Bytes H2cUpgrade::hand_over() const {
  const BytesView said = state_->waiting;
  const BytesView frame = said.subspan(kHttp2Preface.size());
  const std::size_t size = std::size_t{frame[0]} << 16 | std::size_t{frame[1]} << 8 | frame[2];
  const std::size_t start = kHttp2Preface.size() + kFrameHeaderBytes + size;
  Bytes out(said.begin(), said.begin() + static_cast<std::ptrdiff_t>(start));
  BytesView body = as_bytes(state_->body);
  put_frame(out, kHeaders, body.empty() ? kEndHeaders | kEndStream : kEndHeaders, state_->headers);
  while (!body.empty()) {
    const BytesView part = body.first(std::min(body.size(), kMaxFrameBytes));
    body = body.subspan(part.size());
    put_frame(out, kData, body.empty() ? kEndStream : 0, part);
  }
  out.insert(out.end(), said.begin() + static_cast<std::ptrdiff_t>(start), said.end());
  return out;
}

}  // namespace mezite::auth::rpc
