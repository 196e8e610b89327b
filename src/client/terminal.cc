#include "client/terminal.hh"

#include <fcntl.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cerrno>

#include "base/file.hh"
#include "base/unique_fd.hh"

namespace mezite::client {
namespace {

constexpr std::size_t kMaxLine = 4096;

struct ControlCharacter {
  std::uint8_t opcode;
  std::size_t index;
};
// RFC 4254 §8, opcodes 1–18; those of them that Linux has.
constexpr ControlCharacter kControlCharacters[] = {
    {1, VINTR},  {2, VQUIT}, {3, VERASE}, {4, VKILL},     {5, VEOF},     {6, VEOL},    {7, VEOL2},
    {8, VSTART}, {9, VSTOP}, {10, VSUSP}, {12, VREPRINT}, {13, VWERASE}, {14, VLNEXT}, {18, VDISCARD}};

struct Flag {
  std::uint8_t opcode;
  tcflag_t bit;
};
constexpr Flag kInputFlags[] = {{30, IGNPAR}, {31, PARMRK},  {32, INPCK}, {33, ISTRIP}, {34, INLCR},
                                {35, IGNCR},  {36, ICRNL},   {37, IUCLC}, {38, IXON},   {39, IXANY},
                                {40, IXOFF},  {41, IMAXBEL}, {42, IUTF8}};
constexpr Flag kLocalFlags[] = {{50, ISIG},    {51, ICANON}, {52, XCASE},  {53, ECHO},   {54, ECHOE},
                                {55, ECHOK},   {56, ECHONL}, {57, NOFLSH}, {58, TOSTOP}, {59, IEXTEN},
                                {60, ECHOCTL}, {61, ECHOKE}, {62, PENDIN}};
constexpr Flag kOutputFlags[] = {{70, OPOST}, {71, OLCUC}, {72, ONLCR}, {73, OCRNL}, {74, ONOCR}, {75, ONLRET}};
constexpr Flag kControlFlags[] = {{90, CS7}, {91, CS8}, {92, PARENB}, {93, PARODD}};

std::uint32_t baud(speed_t speed) {
  switch (speed) {
    case B9600: return 9600;
    case B19200: return 19200;
    case B57600: return 57600;
    case B115200: return 115200;
    default: return 38400;
  }
}

Result<UniqueFd> open_terminal() {
  UniqueFd fd(::open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY));
  if (!fd) return fail(ErrorCode::kFailedPrecondition, "there is no terminal to ask on");
  return fd;
}

Result<Secret> read_line(int fd) {
  Secret line;
  for (;;) {
    char c = 0;
    const ssize_t got = ::read(fd, &c, 1);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return fail_errno(errno, "reading from the terminal");
    if (got == 0 && line.empty()) return fail(ErrorCode::kFailedPrecondition, "nothing was typed");
    if (got == 0 || c == '\n') return line;
    if (line.size() == kMaxLine) return fail(ErrorCode::kInvalidArgument, "the line is too long");
    line.append(as_bytes({&c, 1}));
  }
}

// Echo off while it lives.
class NoEcho {
 public:
  explicit NoEcho(int fd) : fd_(fd) {
    if (::tcgetattr(fd, &saved_) != 0) return;
    termios quiet = saved_;
    quiet.c_lflag &= ~static_cast<tcflag_t>(ECHO);
    quiet.c_lflag |= ECHONL;
    changed_ = ::tcsetattr(fd, TCSAFLUSH, &quiet) == 0;
  }
  ~NoEcho() {
    if (changed_) ::tcsetattr(fd_, TCSAFLUSH, &saved_);
  }
  NoEcho(const NoEcho&) = delete;
  NoEcho& operator=(const NoEcho&) = delete;
  bool works() const { return changed_; }

 private:
  int fd_;
  termios saved_{};
  bool changed_ = false;
};

}  // namespace

bool is_terminal(int fd) { return ::isatty(fd) == 1; }

ssh::TerminalSize terminal_size(int fd) {
  winsize size{};
  if (::ioctl(fd, TIOCGWINSZ, &size) != 0 || size.ws_col == 0 || size.ws_row == 0) return {.columns = 80, .rows = 24};
  return {size.ws_col, size.ws_row, size.ws_xpixel, size.ws_ypixel};
}

std::vector<ssh::TerminalMode> terminal_modes(int fd) {
  termios now{};
  if (::tcgetattr(fd, &now) != 0) return {};
  std::vector<ssh::TerminalMode> modes;
  for (const auto& [opcode, index] : kControlCharacters) {
    // RFC 4254 §8: 255 stands for "not set".
    const cc_t value = now.c_cc[index];
    modes.push_back({opcode, value == _POSIX_VDISABLE ? 255u : value});
  }
  const auto add = [&modes](const auto& flags, tcflag_t set) {
    for (const auto& [opcode, bit] : flags) modes.push_back({opcode, (set & bit) == bit ? 1u : 0u});
  };
  add(kInputFlags, now.c_iflag);
  add(kLocalFlags, now.c_lflag);
  add(kOutputFlags, now.c_oflag);
  add(kControlFlags, now.c_cflag);
  modes.push_back({128, baud(::cfgetispeed(&now))});
  modes.push_back({129, baud(::cfgetospeed(&now))});
  return modes;
}

Result<RawTerminal> RawTerminal::enter(int fd) {
  termios saved{};
  if (::tcgetattr(fd, &saved) != 0) return fail_errno(errno, "reading the terminal's modes");
  termios raw = saved;
  ::cfmakeraw(&raw);
  if (::tcsetattr(fd, TCSADRAIN, &raw) != 0) return fail_errno(errno, "changing the terminal's modes");
  return RawTerminal(fd, saved);
}

void RawTerminal::restore() {
  if (fd_ < 0) return;
  ::tcsetattr(fd_, TCSADRAIN, &saved_);
  fd_ = -1;
}

Result<Secret> ask_secret(const std::string& prompt) {
  MEZ_TRY(const UniqueFd terminal, open_terminal());
  const NoEcho quiet(terminal.get());
  if (!quiet.works()) return fail(ErrorCode::kFailedPrecondition, "the terminal's echo cannot be switched off");
  MEZ_CHECK(write_all(terminal.get(), as_bytes(prompt)));
  return read_line(terminal.get());
}

Result<std::string> ask_line(const std::string& prompt) {
  MEZ_TRY(const UniqueFd terminal, open_terminal());
  MEZ_CHECK(write_all(terminal.get(), as_bytes(prompt)));
  MEZ_TRY(const Secret line, read_line(terminal.get()));
  return std::string(line.text());
}

Result<Secret> read_secret_line(int fd) { return read_line(fd); }

}  // namespace mezite::client
