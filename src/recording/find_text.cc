#include "recording/find_text.hh"

#include <algorithm>
#include <array>

#include "recording/text_lines.hh"
#include "recording/utf8_joiner.hh"

namespace mezite::recording {
namespace {

char folded(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; }

}  // namespace

Status find_text(Reader& reader, std::string_view text,
                 const std::function<bool(std::chrono::milliseconds at, std::string_view line)>& found) {
  std::chrono::milliseconds at{0};
  bool enough = false;
  TextLines lines([&](std::string_view line) -> Status {
    const auto same = [](char a, char b) { return folded(a) == folded(b); };
    const bool there = std::search(line.begin(), line.end(), text.begin(), text.end(), same) != line.end();
    if (there && !enough) enough = !found(at, line);
    return {};
  });
  std::array<Utf8Joiner, 8> joiners;
  while (!enough) {
    MEZ_TRY(const auto event, reader.next());
    if (!event) break;
    at = event->at;
    if (event->kind != EventKind::kOutput && event->kind != EventKind::kStdout && event->kind != EventKind::kStderr) {
      continue;
    }
    MEZ_CHECK(lines.feed(joiners[static_cast<std::size_t>(event->kind)].push(event->data)));
  }
  return lines.finish();
}

}  // namespace mezite::recording
