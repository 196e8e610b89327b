#include "recording/output_filter.hh"

#include <algorithm>
#include <array>

#include "base/text.hh"

namespace mezite::recording {
namespace {

// Screen modes: reverse, origin, wrap, blinking and visible cursor, alternate screens, margins, synchronised output.
constexpr auto kPrivateModes =
    std::to_array<std::string_view>({"5", "6", "7", "12", "25", "47", "69", "1047", "1048", "1049", "2026"});
constexpr auto kModes = std::to_array<std::string_view>({"4", "20"});  // insert, line feed as new line

constexpr std::string_view kDrawing = "@ABCDEFGHIJKLMPSTXZ`abdefgmrsu";
constexpr std::string_view kEscapes = "78DEHMcNO";

}  // namespace

std::string OutputFilter::push(std::string_view utf8) {
  out_.clear();
  parser_.feed(utf8);
  return std::move(out_);
}

std::string OutputFilter::restore() const {
  // Colours, character set, insert and origin mode, margins (which would move the cursor), wrap, cursor.
  return std::string(
             "\x1b[0m\x1b(B\x0f\x1b[4l\x1b[?5l\x1b[?6l\x1b[?69l\x1b"
             "7\x1b[r\x1b"
             "8\x1b[?7h") +
         (alternate_ ? "\x1b[?1049l" : "") + "\x1b[?25h\x1b[0 q";
}

void OutputFilter::control(char c) {
  if (std::string_view("\a\b\t\n\v\f\r\x0e\x0f").contains(c)) out_ += c;
}

void OutputFilter::escape(std::string_view intermediates, char final) {
  const bool character_set =
      intermediates.size() == 1 && std::string_view("()*+").contains(intermediates[0]) && final >= '0' && final <= 'Z';
  const bool alignment = intermediates == "#" && final >= '3' && final <= '8';
  if (!character_set && !alignment && !(intermediates.empty() && kEscapes.contains(final))) return;
  if (intermediates.empty() && final == 'c') alternate_ = false;
  out_ += '\x1b';
  out_ += intermediates;
  out_ += final;
}

void OutputFilter::modes(std::string_view list, char final, bool is_private) {
  std::string taken;
  for (const std::string_view mode : split(list, ';')) {
    const bool fine = is_private ? std::ranges::find(kPrivateModes, mode) != kPrivateModes.end()
                                 : std::ranges::find(kModes, mode) != kModes.end();
    if (!fine) continue;
    if (mode == "47" || mode == "1047" || mode == "1049") alternate_ = final == 'h';
    if (!taken.empty()) taken += ';';
    taken += mode;
  }
  if (taken.empty()) return;
  out_ += is_private ? "\x1b[?" : "\x1b[";
  out_ += taken;
  out_ += final;
}

void OutputFilter::control_sequence(std::string_view parameters, std::string_view intermediates, char final) {
  const bool is_private = !parameters.empty() && parameters[0] >= '<';
  if (intermediates.empty() && (final == 'h' || final == 'l')) {
    if (is_private && parameters[0] != '?') return;
    return modes(is_private ? parameters.substr(1) : parameters, final, is_private);
  }
  bool fine = intermediates.empty() && !is_private && kDrawing.contains(final);
  fine |= intermediates.empty() && parameters.starts_with('?') && (final == 'J' || final == 'K');
  fine |= !is_private && intermediates == " " && final == 'q';  // the cursor's shape
  fine |= parameters.empty() && intermediates == "!" && final == 'p';
  if (!fine) return;
  out_ += "\x1b[";
  out_ += parameters;
  out_ += intermediates;
  out_ += final;
}

}  // namespace mezite::recording
