#include "client/playback.hh"

#include <signal.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>

#include "base/text.hh"
#include "base/unique_fd.hh"
#include "client/terminal.hh"
#include "recording/play_keys.hh"
#include "recording/player.hh"
#include "recording/recipient.hh"

namespace mezite::client {
namespace {

using recording::PlayEnd;
using std::chrono::milliseconds;

constexpr std::size_t kFirstPartBytes = 64 << 10;
constexpr std::size_t kPartBytes = 1 << 20;
constexpr int kSignals[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};

bool is_interactive() { return is_terminal(STDIN_FILENO) && is_terminal(STDOUT_FILENO); }

sigset_t playback_signals() {
  sigset_t set;
  ::sigemptyset(&set);
  for (const int signal : kSignals) ::sigaddset(&set, signal);
  return set;
}

// The parts as bytes at any place: one part is kept, as reading goes on from where it was most of the time.
class PartCache {
 public:
  explicit PartCache(RemoteRecording remote) : remote_(std::move(remote)) {}

  Result<std::size_t> read(std::uint64_t offset, std::span<std::uint8_t> buffer) {
    if (offset < begin_ || offset >= begin_ + part_.size()) {
      // After a jump little may be wanted: a hash, an index.
      const bool goes_on = offset > 0 && offset == begin_ + part_.size();
      MEZ_TRY(part_, remote_.fetch(offset, goes_on ? kPartBytes : kFirstPartBytes));
      if (part_.size() > kPartBytes) return fail(ErrorCode::kProtocol, "the hub gave more of a recording than asked");
      begin_ = offset;
    }
    const BytesView rest = as_bytes(part_).subspan(static_cast<std::size_t>(offset - begin_));
    const std::size_t size = std::min(rest.size(), buffer.size());
    std::copy_n(rest.begin(), size, buffer.begin());
    return size;
  }
  Result<std::uint64_t> size() { return remote_.size(); }

 private:
  RemoteRecording remote_;
  std::string part_;
  std::uint64_t begin_ = 0;
};

Result<std::optional<recording::Identity>> load_identity(const std::string& file) {
  if (file.empty()) return std::optional<recording::Identity>();
  auto identity = recording::Identity::load(file);
  if (!identity) return wrap(identity.error(), "--identity");
  return std::optional(std::move(*identity));
}

Result<int> two_digits(std::string_view text, int most) {
  int value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size() || value < 0 || value > most) {
    return fail(ErrorCode::kInvalidArgument, "no number");
  }
  return value;
}

// Ends the process as the signal that is waiting would have.
[[noreturn]] void die_of_signal(int signal_fd) {
  signalfd_siginfo info{};
  const bool known = ::read(signal_fd, &info, sizeof info) == sizeof info;
  const int signal = known ? static_cast<int>(info.ssi_signo) : SIGTERM;
  ::signal(signal, SIG_DFL);
  const sigset_t set = playback_signals();
  ::pthread_sigmask(SIG_UNBLOCK, &set, nullptr);
  ::raise(signal);
  ::_exit(128 + signal);
}

}  // namespace

std::string doubts_about(const RemoteRecording& remote) {
  if (!remote.problem.empty()) {
    return fmt::format(
        "WARNING: this is not what the node recorded: {}; see session.recording.altered in the audit log",
        printable(remote.problem));
  }
  if (!remote.chain_key.empty()) return {};
  return "WARNING: the hub has not got the key that this recording was made for: it is checked against damage, not "
         "against forgery";
}

Result<recording::Reader> open_recording(RemoteRecording remote, const std::string& identity_file) {
  MEZ_TRY(const auto identity, load_identity(identity_file));
  const Secret chain_key = remote.chain_key.clone();
  recording::ReadOptions options;
  options.identity = identity ? &*identity : nullptr;
  options.chain_key = [&chain_key](const recording::Header&) -> Result<Secret> { return chain_key.clone(); };
  auto cache = std::make_shared<PartCache>(std::move(remote));
  recording::Source source;
  source.read = [cache](std::uint64_t offset, std::span<std::uint8_t> buffer) { return cache->read(offset, buffer); };
  source.size = [cache] { return cache->size(); };
  return recording::Reader::open_seekable(std::move(source), options);
}

Result<recording::Reader> open_recording_file(const std::string& path, const std::string& identity_file) {
  MEZ_TRY(const auto identity, load_identity(identity_file));
  return recording::Reader::open_file(path, {.identity = identity ? &*identity : nullptr});
}

bool names_file(const std::string& argument) {
  if (argument.contains('/') || argument.ends_with(".mezrec")) return true;
  struct stat info{};
  return !recording::is_session_id(argument) && ::stat(argument.c_str(), &info) == 0;
}

Result<milliseconds> parse_offset(const std::string& text) {
  const auto wrong = [&text] {
    return fail(ErrorCode::kInvalidArgument, "'{}' is no time within a recording; give it as 90s, 1m30s or 0:01:30",
                printable(text.substr(0, 40)));
  };
  if (!text.contains(':')) {
    auto duration = parse_duration(text);
    if (!duration) return wrong();
    return *duration;
  }
  const auto pieces = split(text, ':');
  if (pieces.size() > 3) return wrong();
  std::int64_t seconds = 0;
  for (std::size_t i = 0; i < pieces.size(); ++i) {
    const auto value = two_digits(pieces[i], i == 0 ? 100'000 : 59);
    if (!value) return wrong();
    seconds = seconds * 60 + *value;
  }
  return milliseconds(seconds * 1000);
}

std::string offset_text(milliseconds offset) {
  const auto seconds = offset.count() / 1000;
  return fmt::format("{}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60);
}

void prepare_playback() {
  if (!is_interactive()) return;
  const sigset_t set = playback_signals();
  ::pthread_sigmask(SIG_BLOCK, &set, nullptr);
}

Status play_recording(recording::Reader& reader, const PlaybackOptions& options,
                      const std::function<void(std::string_view)>& note) {
  recording::PlayOptions play{.speed = options.speed, .start = options.start, .length = options.length};
  play.seek = [&reader](milliseconds at) { return reader.seek(at); };
  const bool interactive = is_interactive();
  if (is_terminal(STDOUT_FILENO)) play.screen = recording::PlayOptions::Screen::kTerminal;
  play.max_idle =
      options.max_idle.value_or(is_terminal(STDOUT_FILENO) ? recording::kLongestPause : recording::kLongestPauseInPipe);
  std::optional<RawTerminal> raw;
  UniqueFd signals;
  if (interactive) {
    const recording::Header& header = reader.header();
    note(fmt::format("{} as {} on {}{}; {}", printable(header.user), printable(header.login), printable(header.node),
                     header.command.empty() ? "" : ": " + printable(header.command), recording::kPlayKeysHelp));
    const ssh::TerminalSize size = terminal_size(STDOUT_FILENO);
    if (header.columns > size.columns || header.rows > size.rows) {
      note(fmt::format("recorded at {}x{}, this terminal has {}x{}: make it larger if lines look broken",
                       header.columns, header.rows, size.columns, size.rows));
    }
    const sigset_t set = playback_signals();
    signals.reset(::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
    play.stop_fd = signals.get();
    if (auto entered = RawTerminal::enter(STDIN_FILENO)) {
      raw.emplace(std::move(*entered));
      play.keys_fd = STDIN_FILENO;
    }
  }
  const Result<PlayEnd> end = recording::play(reader, STDOUT_FILENO, play);
  if (raw) {
    // What was typed ahead, or answered by the terminal, is not for the shell.
    ::tcflush(STDIN_FILENO, TCIFLUSH);
    raw.reset();
    [[maybe_unused]] const ssize_t ignored = ::write(STDOUT_FILENO, "\n", 1);
  }
  if (end && *end == PlayEnd::kStopped) die_of_signal(signals.get());
  if (!end) return std::unexpected(end.error());
  if (*end == PlayEnd::kFinished && !reader.complete()) {
    note("the recording has no end: it was cut off, or the session still runs");
  }
  return {};
}

}  // namespace mezite::client
