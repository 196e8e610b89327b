#include "client/scp/progress.hh"

#include <fmt/core.h>
#include <unistd.h>

#include <algorithm>
#include <array>

#include "base/text.hh"
#include "client/terminal.hh"

namespace mezite::client {
namespace {

constexpr std::chrono::milliseconds kRedraw{200};

// Shortened in the middle, at characters of UTF-8; a character counts as one column.
std::string fit(const std::string& text, std::size_t columns) {
  const auto is_start = [](char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; };
  const auto count = static_cast<std::size_t>(std::ranges::count_if(text, is_start));
  if (count <= columns) return text + std::string(columns - count, ' ');
  std::string out;
  std::size_t taken = 0;
  for (const char c : text) {
    if (is_start(c) && taken++ >= columns - 1) break;
    out += c;
  }
  return out + "…";
}

}  // namespace

std::string short_bytes(std::uint64_t bytes) {
  constexpr std::array<const char*, 6> kUnits = {"B", "KB", "MB", "GB", "TB", "PB"};
  auto value = static_cast<double>(bytes);
  std::size_t unit = 0;
  while (value >= 1000 && unit + 1 < kUnits.size()) {
    value /= 1024;
    ++unit;
  }
  return unit == 0 ? fmt::format("{} B", bytes) : fmt::format("{:.1f} {}", value, kUnits[unit]);
}

std::string short_time(std::chrono::seconds duration) {
  const auto seconds = std::clamp<std::int64_t>(duration.count(), 0, 359'999);
  return seconds < 3600 ? fmt::format("{:02}:{:02}", seconds / 60, seconds % 60)
                        : fmt::format("{}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60);
}

std::string progress_line(const ProgressState& state, std::size_t columns) {
  const unsigned percent =
      state.total == 0 ? 100
                       : static_cast<unsigned>(
                             std::min(1.0, static_cast<double>(state.done) / static_cast<double>(state.total)) * 100);
  const double left = state.bytes_per_second <= 0 || state.done >= state.total
                          ? 0
                          : static_cast<double>(state.total - state.done) / state.bytes_per_second;
  const std::string numbers =
      fmt::format(" {:3}% {:>9} {:>9}/s {:>8}", percent, short_bytes(state.done),
                  short_bytes(static_cast<std::uint64_t>(state.bytes_per_second)),
                  short_time(std::chrono::seconds(static_cast<std::int64_t>(std::min(left, 1e9)))));
  const std::size_t room = columns > numbers.size() + 1 ? columns - numbers.size() - 1 : 0;
  return room < 4 ? numbers.substr(0, columns) : fit(state.name, room) + numbers;
}

Progress::Progress(int fd, Shown shown, const Clock& clock)
    : fd_(fd), shown_(shown == Shown::kYes && is_terminal(fd)), clock_(clock), began_(clock.steady()) {}

void Progress::write(const std::string& text) const { (void)!::write(fd_, text.data(), text.size()); }

std::size_t Progress::columns() const { return std::clamp<std::size_t>(terminal_size(fd_).columns, 20, 500); }

void Progress::started(const std::string& name, std::uint64_t bytes) {
  if (!shown_) return;
  name_ = printable(name);
  ++running_;
  total_ += bytes;
  if (clock_.steady() - drawn_ >= kRedraw) draw();
}

void Progress::advance(std::uint64_t bytes) {
  done_ += bytes;
  if (shown_ && clock_.steady() - drawn_ >= kRedraw) draw();
}

void Progress::finished(const std::string& name, std::uint64_t bytes, bool good) {
  if (!shown_) return;
  if (running_ > 0) --running_;
  if (!good) return;
  clear();
  const std::string size = short_bytes(bytes);
  write(fit(printable(name), columns() - 1 - 11) + fmt::format(" {:>10}\n", size));
  if (running_ > 0) draw();
}

void Progress::draw() {
  drawn_ = clock_.steady();
  const double seconds = std::max(0.001, std::chrono::duration<double>(drawn_ - began_).count());
  ProgressState state{.name = running_ > 1 ? fmt::format("{} (and {} more)", name_, running_ - 1) : name_,
                      .done = done_,
                      .total = total_,
                      .bytes_per_second = static_cast<double>(done_) / seconds};
  write("\r" + progress_line(state, columns()) + "\x1b[K");
  on_screen_ = true;
}

void Progress::clear() {
  if (!on_screen_) return;
  on_screen_ = false;
  write("\r\x1b[K");
}

}  // namespace mezite::client
