#include "recording/search/pane.hh"

#include <algorithm>
#include <array>
#include <optional>

#include "base/text.hh"

namespace mezite::recording {
namespace {

constexpr std::size_t kMaxPromptBytes = 512;
constexpr std::size_t kMaxWords = 64;

bool is_any(std::string_view word, std::initializer_list<std::string_view> of) {
  return std::ranges::find(of, word) != of.end();
}

// What goes from the row above to the row below: lines, their corners, and a column of GNU screen's in reverse.
bool is_upright(char32_t cell) {
  const char32_t c = cell & (Screen::kMarked - 1);
  if (c == U'\u2502' || c == U'\u2503' || c == U'\u2551') return true;
  return (c >= U'\u250c' && c <= U'\u254b') || cell == (U' ' | Screen::kMarked);
}

bool is_level(char32_t cell) {
  const char32_t c = cell & (Screen::kMarked - 1);
  // With the dots with which tmux fills what is beyond a window.
  return c == U'\u2500' || c == U'\u2501' || c == U'\u2550' || c == U'\u00b7' || (c >= U'\u250c' && c <= U'\u254b');
}

bool is_border(const Screen& screen, std::size_t row, std::size_t column) {
  return is_upright(screen.cell(row, column)) && (row == 0 || is_upright(screen.cell(row - 1, column))) &&
         (row + 2 >= screen.rows() || is_upright(screen.cell(row + 1, column)));
}

enum class Kind { kBlank, kText, kBorder, kBar };

Kind kind_of(const Screen& screen, const Pane& pane, std::size_t row) {
  std::size_t level = 0, marked = 0, drawn = 0;
  for (std::size_t column = pane.left; column < pane.right; ++column) {
    const char32_t cell = screen.cell(row, column);
    if (cell == U' ') continue;
    ++drawn;
    if (is_level(cell)) ++level;
    if ((cell & Screen::kMarked) != 0) ++marked;
  }
  const std::size_t half = (pane.right - pane.left) / 2;
  if (drawn == 0) return Kind::kBlank;
  return level > half ? Kind::kBorder : marked > half ? Kind::kBar : Kind::kText;
}

// "'tmux" and "/usr/bin/tmux" are tmux.
Multiplexer named(std::string_view word) {
  while (!word.empty() && (word.front() == '\'' || word.front() == '"' || word.front() == '(')) word.remove_prefix(1);
  while (!word.empty() && (word.back() == '\'' || word.back() == '"' || word.back() == ')')) word.remove_suffix(1);
  if (const std::size_t slash = word.rfind('/'); slash != std::string_view::npos) word.remove_prefix(slash + 1);
  if (is_any(word, {"screen", "byobu-screen"})) return Multiplexer::kScreen;
  return is_any(word, {"tmux", "tmate", "byobu", "byobu-tmux", "zellij", "tmuxinator", "tmuxp"}) ? Multiplexer::kTmux
                                                                                                 : Multiplexer::kNone;
}

}  // namespace

Multiplexer multiplexer_in(std::string_view command) {
  bool first = true, carries = false;  // a program that starts what its arguments name
  std::size_t count = 0;
  while (!command.empty() && count++ < kMaxWords) {
    const std::size_t end = std::min(command.find_first_of(" ;&|"), command.size());
    const std::string_view word = command.substr(0, end);
    if (!word.empty()) {
      const bool assignment = word.find('=') != std::string_view::npos;
      if (first || carries) {
        if (const Multiplexer found = named(word); found != Multiplexer::kNone) return found;
      }
      if (first && !assignment) {
        first = false;
        carries = is_any(
            word, {"exec",    "sudo",   "doas",   "env",     "command", "nohup", "time", "ssh", "msh", "mosh",   "et",
                   "autossh", "docker", "podman", "kubectl", "lxc",     "then",  "do",   "if",  "su",  "runuser"});
      }
    }
    if (end < command.size() && command[end] != ' ') first = true, carries = false;
    command.remove_prefix(std::min(end + 1, command.size()));
  }
  return Multiplexer::kNone;
}

Pane pane_at(const Screen& screen, std::size_t row, std::size_t column) {
  Pane pane{.left = std::min(column, screen.columns()), .right = std::min(column + 1, screen.columns())};
  while (pane.left > 0 && !is_border(screen, row, pane.left - 1)) --pane.left;
  while (pane.right < screen.columns() && !is_border(screen, row, pane.right)) ++pane.right;
  return pane;
}

bool is_last_line(const Screen& screen, const Pane& pane, std::size_t row, Multiplexer multiplexer) {
  for (std::size_t below = row + 1; below < screen.rows(); ++below) {
    const bool last = below + 1 == screen.rows();
    switch (kind_of(screen, pane, below)) {
      case Kind::kBlank: continue;
      case Kind::kBorder: return true;
      // An editor's line of status is such a row as well, above the editor's last one.
      case Kind::kBar: return last || multiplexer == Multiplexer::kScreen;
      // A line of status without a colour. vim's own, where the multiplexer has none, begins with "-- ".
      case Kind::kText:
        return last && multiplexer == Multiplexer::kTmux &&
               !screen.text_in(below, pane.left, pane.right).starts_with("-- ");
    }
  }
  return true;
}

bool is_prompt(std::string_view text) {
  if (text.size() > kMaxPromptBytes) return false;
  std::size_t blanks = 0;
  while (blanks < 2 && text.ends_with(' ')) text.remove_suffix(1), ++blanks;
  constexpr std::string_view kEnds[] = {"$", "#", ">", "%", "\u276f", "\u279c", "\u00bb", "\u03bb", "\u2717", "\u26a1"};
  if (std::ranges::any_of(kEnds, [text](std::string_view end) { return text.ends_with(end); })) return true;
  constexpr std::string_view kBegins[] = {"\u276f", "\u279c", "\u2570", "\u2514"};
  return std::ranges::any_of(kBegins, [text](std::string_view begin) { return text.starts_with(begin); });
}

bool goes_on(const Screen& screen, const Pane& pane, std::size_t row) {
  if (row + 1 >= screen.rows() || pane.right < pane.left + 2) return false;
  if (screen.cell(row, pane.right - 1) != U' ') return true;
  return screen.cell(row, pane.right - 2) != U' ' && screen.cell(row + 1, pane.left) != U' ';
}

std::string full_row(const Screen& screen, const Pane& pane, std::size_t row, std::size_t column) {
  std::string text = screen.text_in(row, column, pane.right);
  if (column < pane.right && screen.cell(row, pane.right - 1) == U' ') text += ' ';
  return text;
}

std::string line_from(const Screen& screen, const Pane& pane, std::size_t row, std::size_t column) {
  std::string text;
  for (; goes_on(screen, pane, row); ++row, column = pane.left) text += full_row(screen, pane, row, column);
  return text + screen.text_in(row, column, pane.right);
}

}  // namespace mezite::recording
