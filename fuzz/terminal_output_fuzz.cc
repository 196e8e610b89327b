// What a session showed, on its way to somebody's terminal (OutputFilter), to plain lines, and to the index of
// commands. The input is pieces: kind, length, bytes.
#include <chrono>
#include <cstdlib>

#include "recording/output_filter.hh"
#include "recording/search/commands.hh"
#include "recording/text_lines.hh"
#include "recording/utf8_joiner.hh"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace mezite;
  using namespace mezite::recording;
  const BytesView input(data, size);
  Utf8Joiner joiner;
  std::string text = joiner.push(input);
  text += joiner.finish();

  // What passes passes again, wherever it is cut; so nothing that is kept back can be put together from what passes.
  OutputFilter whole, again, cut;
  const std::string passed = whole.push(text);
  if (again.push(passed) != passed) std::abort();
  std::size_t half = text.size() / 2;
  while (half > 0 && (static_cast<unsigned char>(text[half]) & 0xc0) == 0x80) --half;
  std::string pieces = cut.push(std::string_view(text).substr(0, half));
  pieces += cut.push(std::string_view(text).substr(half));
  if (pieces != passed) std::abort();

  TextLines lines([](std::string_view line) -> Status {
    for (const char c : line) {
      if (static_cast<unsigned char>(c) < 0x20) std::abort();
    }
    return {};
  });
  if (!lines.feed(text) || !lines.finish()) std::abort();

  Header header;
  header.columns = size > 0 ? data[0] : 0;
  header.rows = size > 1 ? data[1] : 0;
  CommandFinder finder(header, [](const Command& command) {
    if (command.text.empty() || command.text.size() > kMaxCommandBytes) std::abort();
  });
  Event event;
  for (std::size_t at = 0; at + 2 <= size;) {
    const std::size_t length = std::min<std::size_t>(data[at + 1], size - at - 2);
    const BytesView piece = input.subspan(at + 2, length);
    event.kind = static_cast<EventKind>(data[at] % 3 + 1);
    event.data.assign(piece.begin(), piece.end());
    event.columns = event.rows = static_cast<std::uint16_t>(data[at + 1] * 7);
    event.at += std::chrono::milliseconds(data[at]);
    finder.take(event);
    at += 2 + length;
  }
  return 0;
}
