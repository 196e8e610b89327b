#include "client/x11_display.hh"

#include <fcntl.h>
#include <spawn.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <filesystem>
#include <vector>

#include "base/text.hh"
#include "base/unique_fd.hh"
#include "crypto/random.hh"

extern char** environ;

namespace mezite::client {
namespace {

constexpr std::size_t kMaxOutputBytes = 4096;
constexpr std::size_t kSetupBytes = 12;  // before protocol name and data
constexpr std::size_t kMaxAuthBytes = 1024;
constexpr std::uint32_t kMaxDisplay = 59535;
constexpr std::size_t kCookieBytes = 16;

// What a program prints on its standard output; its standard error goes nowhere.
Result<std::string> output_of(std::vector<std::string> arguments) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return fail_errno(errno, "starting xauth");
  UniqueFd in(ends[0]);
  UniqueFd out(ends[1]);
  std::vector<char*> argv;
  for (std::string& argument : arguments) argv.push_back(argument.data());
  argv.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawn_file_actions_adddup2(&actions, out.get(), STDOUT_FILENO);
  ::posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  ::posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
  pid_t pid = -1;
  int error = ::posix_spawnp(&pid, argv[0], &actions, nullptr, argv.data(), environ);
  ::posix_spawn_file_actions_destroy(&actions);
  out.reset();
  if (error != 0) return fail_errno(error, fmt::format("running {}; is it installed?", arguments[0]));
  std::string text;
  char chunk[512];
  ssize_t n;
  while ((n = ::read(in.get(), chunk, sizeof chunk)) > 0 || (n < 0 && errno == EINTR)) {
    if (n > 0 && text.size() < kMaxOutputBytes) text.append(chunk, static_cast<std::size_t>(n));
  }
  int status = 0;
  while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
    return fail(ErrorCode::kUnavailable, "{} failed", arguments[0]);
  }
  return text;
}

// "host/unix:0  MIT-MAGIC-COOKIE-1  0123…": the first line that fits.
bool read_cookie(std::string_view listing, X11Display& display) {
  for (std::string_view line : split(listing, '\n')) {
    std::vector<std::string_view> words;
    for (std::string_view word : split(line, ' ')) {
      if (!word.empty()) words.push_back(word);
    }
    if (words.size() != 3 || words[1] != display.protocol) continue;
    Result<Bytes> cookie = from_hex(words[2]);
    if (!cookie || cookie->empty() || cookie->size() > kMaxAuthBytes) continue;
    display.cookie = std::move(*cookie);
    return true;
  }
  return false;
}

// A folder of our own, gone with its file.
class Scratch {
 public:
  Scratch() {
    char name[] = "/tmp/msh-xauth-XXXXXX";
    if (::mkdtemp(name)) path_ = name;
  }
  ~Scratch() {
    std::error_code ignored;
    if (!path_.empty()) std::filesystem::remove_all(path_, ignored);
  }
  bool good() const { return !path_.empty(); }
  std::string file() const { return path_ + "/xauthfile"; }

 private:
  std::string path_;
};

std::size_t padded(std::size_t size) { return (size + 3) / 4 * 4; }

}  // namespace

Result<X11Display> parse_display(std::string_view text) {
  auto refuse = [&] {
    return fail(ErrorCode::kInvalidArgument, "DISPLAY='{}' is no display; expected e.g. :0 or localhost:10.0",
                printable(text.substr(0, 200)));
  };
  const std::size_t colon = text.rfind(':');
  if (colon == std::string_view::npos || text.starts_with('-') || printable(text) != text) return refuse();
  const std::string_view host = text.substr(0, colon);
  std::string_view number = text.substr(colon + 1);
  X11Display display;
  std::uint32_t index = 0;
  const char* end = number.data() + number.size();
  auto [after, error] = std::from_chars(number.data(), end, index);
  if (error != std::errc{} || index > kMaxDisplay) return refuse();
  if (after != end) {
    if (*after != '.') return refuse();
    auto [last, bad] = std::from_chars(after + 1, end, display.screen);
    if (bad != std::errc{} || last != end) return refuse();
  }
  if (host.starts_with('/')) {
    display.socket = text;
  } else if (host.empty() || host == "unix") {
    display.socket = fmt::format("/tmp/.X11-unix/X{}", index);
  } else {
    display.address = {std::string(host), static_cast<std::uint16_t>(6000 + index)};
  }
  return display;
}

Result<X11Display> find_x11_display(X11Trust trust) {
  const char* name = ::getenv("DISPLAY");
  if (name == nullptr || *name == '\0') {
    return fail(ErrorCode::kFailedPrecondition, "-X needs a display here: DISPLAY is not set");
  }
  MEZ_TRY(X11Display display, parse_display(name));
  // xauth knows the displays of this machine's loopback by "unix".
  std::string looked_up = name;
  if (looked_up.starts_with("localhost:")) looked_up = "unix" + looked_up.substr(9);
  if (trust == X11Trust::kUntrusted) {
    Scratch scratch;
    if (!scratch.good()) return fail_errno(errno, "making a folder for xauth");
    auto made = output_of({"xauth", "-q", "-f", scratch.file(), "generate", looked_up, display.protocol, "untrusted",
                           "timeout", "86400"});
    auto listed = made ? output_of({"xauth", "-q", "-f", scratch.file(), "list", looked_up}) : std::move(made);
    if (!listed || !read_cookie(*listed, display)) {
      return fail(ErrorCode::kFailedPrecondition,
                  "the display {} gives no restricted access (X11 SECURITY extension, xauth); -Y trusts the node with "
                  "all of the display",
                  printable(name));
    }
  } else {
    auto listed = output_of({"xauth", "-q", "list", looked_up});
    // A display without a cookie decides by who connects.
    if (!listed || !read_cookie(*listed, display)) display.cookie.clear();
  }
  display.fake = crypto::random_bytes(display.cookie.empty() ? kCookieBytes : display.cookie.size());
  return display;
}

X11CookieExchange::Next X11CookieExchange::take(BytesView bytes) {
  buffer_.insert(buffer_.end(), bytes.begin(), bytes.end());
  if (buffer_.empty()) return Next::kMore;
  const bool big = buffer_[0] == 'B';
  if (!big && buffer_[0] != 'l') return Next::kRefuse;
  if (buffer_.size() < kSetupBytes) return Next::kMore;
  auto number = [&](std::size_t at) {
    return static_cast<std::size_t>(big ? buffer_[at] << 8 | buffer_[at + 1] : buffer_[at + 1] << 8 | buffer_[at]);
  };
  const std::size_t name_size = number(6);
  const std::size_t data_size = number(8);
  if (name_size > kMaxAuthBytes || data_size > kMaxAuthBytes) return Next::kRefuse;
  const std::size_t data_at = kSetupBytes + padded(name_size);
  if (buffer_.size() < data_at + padded(data_size)) return Next::kMore;
  const BytesView all = buffer_;
  if (as_text(all.subspan(kSetupBytes, name_size)) != display_.protocol ||
      !equal_constant_time(all.subspan(data_at, data_size), display_.fake)) {
    return Next::kRefuse;
  }
  if (!display_.cookie.empty())
    std::copy(display_.cookie.begin(), display_.cookie.end(), buffer_.begin() + static_cast<std::ptrdiff_t>(data_at));
  return Next::kPass;
}

}  // namespace mezite::client
