#include "recording/export.hh"

#include <fmt/format.h>

#include <array>
#include <string>

#include "base/text.hh"
#include "recording/text_lines.hh"
#include "recording/utf8_joiner.hh"

namespace mezite::recording {
namespace {

// A command without a PTY writes bare line feeds; a terminal needs the carriage return that the PTY would have added.
std::string with_carriage_returns(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '\n') out += '\r';
    out += c;
  }
  return out;
}

bool is_output(EventKind kind) {
  return kind == EventKind::kOutput || kind == EventKind::kStdout || kind == EventKind::kStderr;
}

std::string asciicast_event(std::chrono::milliseconds at, char code, std::string_view data) {
  return fmt::format("[{}.{:03}, \"{}\", {}]\n", at.count() / 1000, at.count() % 1000, code, json_quote(data));
}

}  // namespace

Status export_asciicast(Reader& reader, InputEvents input, const Sink& sink) {
  const Header& header = reader.header();
  const std::string title =
      fmt::format("{}@{}{}{}", header.login, header.node, header.command.empty() ? "" : ": ", header.command);
  MEZ_CHECK(
      sink(fmt::format("{{\"version\": 2, \"width\": {}, \"height\": {}, \"timestamp\": {}, \"title\": {}, "
                       "\"env\": {{\"TERM\": \"xterm-256color\"}}}}\n",
                       header.columns > 0 ? header.columns : 80, header.rows > 0 ? header.rows : 24,
                       to_unix_seconds(header.started_at), json_quote(title))));
  std::array<Utf8Joiner, 8> joiners;
  for (;;) {
    MEZ_TRY(const auto event, reader.next());
    if (!event) return {};
    if (event->kind == EventKind::kResize) {
      const std::string size = fmt::format("{}x{}", event->columns, event->rows);
      MEZ_CHECK(sink(asciicast_event(event->at, 'r', size)));
      continue;
    }
    const bool output = is_output(event->kind);
    if (event->kind == EventKind::kEnd || (!output && input == InputEvents::kLeaveOut)) continue;
    std::string text = joiners[static_cast<std::size_t>(event->kind)].push(event->data);
    if (text.empty()) continue;
    if (event->kind == EventKind::kStdout || event->kind == EventKind::kStderr) text = with_carriage_returns(text);
    MEZ_CHECK(sink(asciicast_event(event->at, output ? 'o' : 'i', text)));
  }
}

Status export_text(Reader& reader, const Sink& sink) {
  TextLines screen([&sink](std::string_view line) { return sink(std::string(line) + "\n"); });
  std::array<Utf8Joiner, 8> joiners;
  for (;;) {
    MEZ_TRY(const auto event, reader.next());
    if (!event) break;
    if (is_output(event->kind)) {
      MEZ_CHECK(screen.feed(joiners[static_cast<std::size_t>(event->kind)].push(event->data)));
    }
  }
  for (Utf8Joiner& joiner : joiners) MEZ_CHECK(screen.feed(joiner.finish()));
  return screen.finish();
}

}  // namespace mezite::recording
