#include "recording/player.hh"

#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>

#include "base/file.hh"

namespace mezite::recording {
namespace {

using std::chrono::milliseconds;

constexpr double kSlowest = 0.1;
constexpr double kFastest = 100;

// What the keys made of the playback.
class Control {
 public:
  Control(const PlayOptions& options)
      : keys_fd_(options.keys_fd), speed_(std::clamp(options.speed, kSlowest, kFastest)) {}

  // Waits for as long as the recording paused; false when the user has had enough.
  bool wait(milliseconds pause) {
    double left_ms = static_cast<double>(pause.count());  // of the recording's own time
    while (left_ms > 0 || paused_) {
      const auto began = std::chrono::steady_clock::now();
      const int timeout = paused_ ? -1 : static_cast<int>(std::min(std::ceil(left_ms / speed_), 3'600'000.0));
      pollfd keys{.fd = keys_fd_, .events = POLLIN, .revents = 0};
      const int ready = ::poll(&keys, 1, timeout);  // a negative descriptor is ignored by poll(2)
      if (!paused_) {
        const std::chrono::duration<double, std::milli> passed = std::chrono::steady_clock::now() - began;
        left_ms -= passed.count() * speed_;
      }
      if (ready > 0 && !key()) return false;
      if (step_) {
        step_ = false;
        return true;
      }
    }
    return true;
  }

 private:
  bool key() {
    char c = 0;
    if (::read(keys_fd_, &c, 1) <= 0) {
      keys_fd_ = -1;
      paused_ = false;
      return true;
    }
    if (c == 'q' || c == '\x03' || c == '\x04') return false;
    if (c == ' ') paused_ = !paused_;
    if (c == '.') step_ = paused_;
    if (c == '+' || c == '=') speed_ = std::min(speed_ * 2, kFastest);
    if (c == '-') speed_ = std::max(speed_ / 2, kSlowest);
    return true;
  }

  int keys_fd_;
  double speed_;
  bool paused_ = false;
  bool step_ = false;
};

}  // namespace

Status play(Reader& reader, int out_fd, const PlayOptions& options) {
  Control control(options);
  milliseconds last{0};
  for (;;) {
    MEZ_TRY(const auto event, reader.next());
    if (!event) return {};
    milliseconds pause = event->at - last;
    if (options.max_idle) pause = std::min(pause, *options.max_idle);
    last = event->at;
    if (!control.wait(pause)) return {};
    const bool raw = event->kind == EventKind::kOutput;
    if (!raw && event->kind != EventKind::kStdout && event->kind != EventKind::kStderr) continue;
    Bytes data;
    for (const std::uint8_t byte : event->data) {
      // The player's terminal is raw while keys are read, and a command wrote bare line feeds.
      if (!raw && byte == '\n') data.push_back('\r');
      data.push_back(byte);
    }
    if (auto status = write_all(out_fd, data); !status) return wrap(status.error(), "writing to the terminal");
  }
}

}  // namespace mezite::recording
