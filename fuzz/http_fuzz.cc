// HTTP/1.1 as the hub reads it from anybody and msh from a hub. First byte: a request, an answer, or a target.
#include <algorithm>
#include <cstdlib>
#include <optional>

#include "net/http/codec.hh"

namespace {

using namespace mezite;
using namespace mezite::net::http;

constexpr std::size_t kHeaderLimit = 4096, kBodyLimit = 2048;

void expect(bool condition) {
  if (!condition) std::abort();
}

// In pieces of that many bytes; what is not taken is given again with more behind it. Nothing: refused, or not all
// there.
std::optional<Request> read_request(BytesView input, std::size_t piece) {
  RequestParser parser(kHeaderLimit, kBodyLimit);
  std::size_t from = 0;
  for (std::size_t to = 0; to < input.size() && !parser.done();) {
    to = std::min(input.size(), to + piece);
    const auto taken = parser.feed(input.subspan(from, to - from));
    if (!taken) return std::nullopt;
    expect(*taken <= to - from);
    from += *taken;
  }
  if (!parser.done()) return std::nullopt;
  auto request = parser.take();
  if (!request) return std::nullopt;
  return std::move(*request);
}

bool has_control(std::string_view text) {
  return std::ranges::any_of(text, [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; });
}

void request(BytesView input) {
  const auto whole = read_request(input, std::max<std::size_t>(input.size(), 1));
  const auto cut = read_request(input, 1);
  if (whole) {
    expect(whole->path.starts_with('/') && !has_control(whole->path) && whole->body.size() <= kBodyLimit);
    expect(whole->path.find("/../") == std::string::npos && !whole->path.ends_with("/.."));
    for (const auto& [name, value] : whole->headers.all()) {
      expect(!name.empty() && value.find_first_of("\r\n") == std::string::npos);
    }
    static_cast<void>(whole->bearer_token());
    static_cast<void>(whole->cookie("session"));
  }
  // However it is cut, it is the same request.
  expect(whole.has_value() == cut.has_value());
  if (whole) expect(whole->method == cut->method && whole->path == cut->path && whole->body == cut->body);
}

void answer(BytesView input) {
  ResponseParser parser(kBodyLimit, false);
  std::size_t from = 0;
  bool good = true;
  for (std::size_t to = 0; to < input.size() && good && !parser.done();) {
    to = std::min(input.size(), to + 7);
    const auto taken = parser.feed(input.subspan(from, to - from));
    good = taken.has_value();
    if (good) from += *taken;
  }
  if (good && !parser.done()) good = parser.feed_end().has_value();
  if (!good || !parser.done()) return;
  int status = 0;
  Headers headers;
  std::string body;
  parser.take(status, headers, body);
  expect(body.size() <= kBodyLimit && status >= 0);
}

void target(BytesView input) {
  if (const auto path = decode_path(as_text(input)))
    expect(!has_control(*path) && path->find('\0') == std::string::npos);
  static_cast<void>(decode_query(as_text(input)));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  constexpr void (*kChecks[])(BytesView) = {request, answer, target};
  kChecks[data[0] % std::size(kChecks)](BytesView(data + 1, size - 1));
  return 0;
}
