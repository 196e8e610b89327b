#include "recording/player.hh"

#include <fmt/format.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "base/file.hh"
#include "recording/output_filter.hh"
#include "recording/play_keys.hh"
#include "recording/utf8_joiner.hh"

namespace mezite::recording {
namespace {

using std::chrono::milliseconds;
using Steady = std::chrono::steady_clock;

constexpr double kSlowest = 0.1;
constexpr double kFastest = 100;
constexpr milliseconds kStep{5'000};
constexpr milliseconds kFarStep{60'000};
constexpr std::size_t kLookEvery = 64;  // events without a pause, after which keys are looked at

// To show the screen as it was at a time, what was written before is written again: from so far back, unless that is
// more than the budget; and of it no more than what is kept.
constexpr std::array kLookBack = {milliseconds(600'000), milliseconds(60'000), milliseconds(5'000), milliseconds(0)};
constexpr std::size_t kLookBackBudgetBytes = 8 << 20;
constexpr std::size_t kKeptBytes = 1 << 20;

bool is_output(EventKind kind) {
  return kind == EventKind::kOutput || kind == EventKind::kStdout || kind == EventKind::kStderr;
}

std::string clock_text(milliseconds at) {
  const auto seconds = at.count() / 1000;
  return fmt::format("{}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60);
}

class Playback {
 public:
  Playback(Reader& reader, int out_fd, const PlayOptions& options)
      : reader_(reader),
        out_fd_(out_fd),
        options_(options),
        keys_fd_(options.keys_fd),
        speed_(std::clamp(std::isfinite(options.speed) ? options.speed : 1, kSlowest, kFastest)) {}

  Result<PlayEnd> run() {
    if (is_terminal()) MEZ_CHECK(write("\x1b[22;2t"));  // keeps the title
    Result<PlayEnd> end = play_all();
    // Also after an error, which is most likely the recording's.
    if (end_ != PlayEnd::kReaderGone) {
      std::string restore = filter_->restore();
      if (is_terminal()) restore += "\x1b[23;2t";
      if (is_terminal() || wrote_sequences_) [[maybe_unused]]
        Status ignored = write(restore);
    }
    return end;
  }

 private:
  bool is_terminal() const { return options_.screen == PlayOptions::Screen::kTerminal; }
  milliseconds position() const { return milliseconds(static_cast<std::int64_t>(position_ms_)); }

  Result<PlayEnd> play_all() {
    if (options_.start > milliseconds(0)) MEZ_CHECK(go_to(options_.start));
    std::size_t without_pause = 0;
    while (!end_) {
      MEZ_CHECK(fetch());
      if (!next_) break;
      MEZ_TRY(const bool due, wait_for(next_->at, without_pause));
      if (!due) continue;  // a key has changed what is next, or the end has come
      MEZ_CHECK(show(*next_));
      next_.reset();
    }
    return end_.value_or(PlayEnd::kFinished);
  }

  Status fetch() {
    if (next_ || finished_) return {};
    MEZ_TRY(next_, reader_.next());
    finished_ = !next_;
    return {};
  }

  // Waits until the event's time has come; false when it is not to be shown now after all.
  Result<bool> wait_for(milliseconds at, std::size_t& without_pause) {
    const auto target = static_cast<double>(at.count());
    position_ms_ = std::max(position_ms_, target - static_cast<double>(options_.max_idle.count()));
    const bool pause = target > position_ms_ || paused_;
    if (!pause && ++without_pause < kLookEvery) return true;
    without_pause = 0;
    do {
      tell_title();
      const auto began = Steady::now();
      const double left_ms = std::max(0.0, (target - position_ms_) / speed_);
      // In steps, so that the title goes on.
      const int timeout = paused_ ? -1 : static_cast<int>(std::min(std::ceil(left_ms), 500.0));
      if (!look(timeout)) return false;
      if (!paused_) {
        const std::chrono::duration<double, std::milli> passed = Steady::now() - began;
        position_ms_ = std::min(target, position_ms_ + passed.count() * speed_);
      }
      if (wanted_) {
        MEZ_CHECK(go_to(*std::exchange(wanted_, std::nullopt)));
        return false;
      }
      if (std::exchange(step_, false)) {
        position_ms_ = target;
        return true;
      }
    } while (paused_ || position_ms_ < target);
    return true;
  }

  // Looks for keys, for so long; false when it is over.
  bool look(int timeout_ms) {
    std::array<pollfd, 3> watched = {pollfd{.fd = keys_fd_, .events = POLLIN, .revents = 0},
                                     pollfd{.fd = options_.stop_fd, .events = POLLIN, .revents = 0},
                                     pollfd{.fd = out_fd_, .events = 0, .revents = 0}};  // POLLERR: nobody reads
    if (keys_fd_ < 0 && timeout_ms < 0) timeout_ms = 0;                                  // nobody could end the pause
    if (::poll(watched.data(), watched.size(), timeout_ms) <= 0) return true;
    if (watched[1].revents != 0) end_ = PlayEnd::kStopped;
    if ((watched[2].revents & (POLLERR | POLLHUP)) != 0) end_ = PlayEnd::kReaderGone;
    if (watched[0].revents != 0) take_keys();
    return !end_;
  }

  void take_keys() {
    char bytes[64];
    const ssize_t got = ::read(keys_fd_, bytes, sizeof bytes);
    if (got <= 0) {
      if (got < 0 && (errno == EINTR || errno == EAGAIN)) return;
      keys_fd_ = -1;
      paused_ = false;
      return;
    }
    for (const PlayKeyPress& press : keys_.push({bytes, static_cast<std::size_t>(got)})) take(press);
  }

  void take(const PlayKeyPress& press) {
    const milliseconds from = wanted_.value_or(position());
    switch (press.key) {
      case PlayKey::kQuit: end_ = PlayEnd::kQuit; break;
      case PlayKey::kPause: paused_ = !paused_; break;
      case PlayKey::kStep: step_ = paused_; break;
      case PlayKey::kFaster: speed_ = std::min(speed_ * 2, kFastest); break;
      case PlayKey::kSlower: speed_ = std::max(speed_ / 2, kSlowest); break;
      case PlayKey::kBack: wanted_ = std::max(milliseconds(0), from - kStep); break;
      case PlayKey::kForward: wanted_ = from + kStep; break;
      case PlayKey::kFarBack: wanted_ = std::max(milliseconds(0), from - kFarStep); break;
      case PlayKey::kFarForward: wanted_ = from + kFarStep; break;
      case PlayKey::kTenth:
        if (options_.length) wanted_ = *options_.length / 10 * press.tenth;
        break;
    }
  }

  // Shows the screen as it was at the time: nothing is waited for.
  Status go_to(milliseconds target) {
    if (options_.length) target = std::min(target, *options_.length);
    const bool back = target < position();
    const bool far = target - position() > 2 * kLookBack[0];
    if (!options_.seek || (!back && !far)) {
      if (back) return {};  // a stream can't be rewound
      MEZ_TRY(const bool there, read_up_to(target, std::nullopt));
      if (!there) return {};
      return arrive(target);
    }
    for (const milliseconds back_by : kLookBack) {
      MEZ_CHECK(options_.seek(std::max(milliseconds(0), target - back_by)));
      next_.reset();
      finished_ = false;
      joiners_ = {};
      filter_ = std::make_unique<OutputFilter>();
      kept_.clear();
      const bool last = back_by == kLookBack.back();
      MEZ_TRY(const bool there, read_up_to(target, last ? std::nullopt : std::optional(kLookBackBudgetBytes)));
      if (end_) return {};
      if (!there) continue;
      // Not RIS, which would empty the scrollback as well.
      if (is_terminal()) MEZ_CHECK(write("\x1b[?1049l\x1b[!p\x1b[0m\x1b[H\x1b[2J"));
      break;
    }
    return arrive(target);
  }

  Status arrive(milliseconds target) {
    MEZ_CHECK(write(std::exchange(kept_, {})));
    position_ms_ = static_cast<double>(target.count());
    return {};
  }

  // Keeps what is shown up to the time, or its end; false when that is over the budget, or playing has ended.
  Result<bool> read_up_to(milliseconds target, std::optional<std::size_t> budget_bytes) {
    std::size_t seen_bytes = 0;
    for (std::size_t events = 1;; ++events) {
      MEZ_CHECK(fetch());
      if (!next_ || next_->at > target) break;
      kept_ += shown(*next_);
      seen_bytes += next_->data.size();
      next_.reset();
      if (budget_bytes && seen_bytes > *budget_bytes) return false;
      if (kept_.size() > 2 * kKeptBytes) {
        // From the beginning of a line, which is no sequence's middle: the filter gives those out whole.
        const std::size_t line = kept_.find('\n', kept_.size() - kKeptBytes);
        kept_.erase(0, line == std::string::npos ? kept_.size() - kKeptBytes : line);
      }
      if (events % kLookEvery == 0 && !look(0)) return false;
    }
    return true;
  }

  std::string shown(const Event& event) {
    if (!is_output(event.kind)) return {};
    std::string text = joiners_[static_cast<std::size_t>(event.kind)].push(event.data);
    if (event.kind != EventKind::kOutput) {
      // A command without a terminal wrote bare line feeds.
      std::string with_returns;
      for (const char c : text) {
        if (c == '\n' && is_terminal()) with_returns += '\r';
        with_returns += c;
      }
      text = std::move(with_returns);
    }
    return filter_->push(text);
  }

  Status show(const Event& event) { return write(shown(event)); }

  Status write(std::string_view text) {
    if (text.empty() || end_ == PlayEnd::kReaderGone) return {};
    wrote_sequences_ = wrote_sequences_ || text.contains('\x1b');
    const Status status = write_all(out_fd_, as_bytes(text));
    if (status) return {};
    end_ = PlayEnd::kReaderGone;  // EPIPE, or a terminal that was hung up
    return {};
  }

  // At most twice a second, and only what changes.
  void tell_title() {
    if (!is_terminal()) return;
    std::string title = clock_text(position());
    if (options_.length) title += " / " + clock_text(*options_.length);
    if (speed_ != 1.0) title += fmt::format(" x{:g}", speed_);
    if (paused_) title += " paused";
    if (title == title_) return;
    title_ = title;
    [[maybe_unused]] Status ignored = write(fmt::format("\x1b]2;{}\x07", title));
  }

  Reader& reader_;
  const int out_fd_;
  const PlayOptions& options_;
  int keys_fd_;
  double speed_;
  double position_ms_ = 0;  // in the recording's time
  bool paused_ = false;
  bool step_ = false;
  std::optional<milliseconds> wanted_;  // where the keys want to go
  std::optional<PlayEnd> end_;
  std::optional<Event> next_;
  bool finished_ = false;
  PlayKeys keys_;
  std::array<Utf8Joiner, 8> joiners_;
  std::unique_ptr<OutputFilter> filter_ = std::make_unique<OutputFilter>();
  std::string kept_;
  std::string title_;
  bool wrote_sequences_ = false;
};

}  // namespace

Result<PlayEnd> play(Reader& reader, int out_fd, const PlayOptions& options) {
  return Playback(reader, out_fd, options).run();
}

}  // namespace mezite::recording
