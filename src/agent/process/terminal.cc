#include "agent/process/terminal.hh"

#include <fcntl.h>
#include <grp.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <termios.h>

#include <algorithm>
#include <cerrno>

namespace mezite::agent {
namespace {

enum class Kind { kCharacter, kInput, kOutput, kLocal, kControl };

struct Mode {
  std::uint8_t opcode;
  Kind kind;
  tcflag_t value;  // index into c_cc, or the flag
};

// RFC 4254 §8. Opcodes for VFLUSH, VDSUSP, VSTATUS are of other systems.
constexpr Mode kModes[] = {
    {1, Kind::kCharacter, VINTR},   {2, Kind::kCharacter, VQUIT},     {3, Kind::kCharacter, VERASE},
    {4, Kind::kCharacter, VKILL},   {5, Kind::kCharacter, VEOF},      {6, Kind::kCharacter, VEOL},
    {7, Kind::kCharacter, VEOL2},   {8, Kind::kCharacter, VSTART},    {9, Kind::kCharacter, VSTOP},
    {10, Kind::kCharacter, VSUSP},  {12, Kind::kCharacter, VREPRINT}, {13, Kind::kCharacter, VWERASE},
    {14, Kind::kCharacter, VLNEXT}, {18, Kind::kCharacter, VDISCARD}, {30, Kind::kInput, IGNPAR},
    {31, Kind::kInput, PARMRK},     {32, Kind::kInput, INPCK},        {33, Kind::kInput, ISTRIP},
    {34, Kind::kInput, INLCR},      {35, Kind::kInput, IGNCR},        {36, Kind::kInput, ICRNL},
    {37, Kind::kInput, IUCLC},      {38, Kind::kInput, IXON},         {39, Kind::kInput, IXANY},
    {40, Kind::kInput, IXOFF},      {41, Kind::kInput, IMAXBEL},      {42, Kind::kInput, IUTF8},  // RFC 8160
    {50, Kind::kLocal, ISIG},       {51, Kind::kLocal, ICANON},       {52, Kind::kLocal, XCASE},
    {53, Kind::kLocal, ECHO},       {54, Kind::kLocal, ECHOE},        {55, Kind::kLocal, ECHOK},
    {56, Kind::kLocal, ECHONL},     {57, Kind::kLocal, NOFLSH},       {58, Kind::kLocal, TOSTOP},
    {59, Kind::kLocal, IEXTEN},     {60, Kind::kLocal, ECHOCTL},      {61, Kind::kLocal, ECHOKE},
    {62, Kind::kLocal, PENDIN},     {70, Kind::kOutput, OPOST},       {71, Kind::kOutput, OLCUC},
    {72, Kind::kOutput, ONLCR},     {73, Kind::kOutput, OCRNL},       {74, Kind::kOutput, ONOCR},
    {75, Kind::kOutput, ONLRET},    {90, Kind::kControl, CS7},        {91, Kind::kControl, CS8},
    {92, Kind::kControl, PARENB},   {93, Kind::kControl, PARODD},
};

constexpr std::uint8_t kOpcodeInputSpeed = 128;
constexpr std::uint8_t kOpcodeOutputSpeed = 129;
constexpr std::uint32_t kDisabledCharacter = 255;

struct Speed {
  std::uint32_t baud;
  speed_t value;
};
constexpr Speed kSpeeds[] = {{300, B300},     {1200, B1200},   {2400, B2400},   {4800, B4800},     {9600, B9600},
                             {19200, B19200}, {38400, B38400}, {57600, B57600}, {115200, B115200}, {230400, B230400}};

void set_flag(tcflag_t& flags, tcflag_t flag, bool on) {
  if (on)
    flags |= flag;
  else
    flags &= ~flag;
}

gid_t tty_group() {
  std::vector<char> buffer(16384);
  group entry{};
  group* found = nullptr;
  if (::getgrnam_r("tty", &entry, buffer.data(), buffer.size(), &found) == 0 && found) return entry.gr_gid;
  return static_cast<gid_t>(-1);
}

unsigned short bounded(std::uint32_t value) { return static_cast<unsigned short>(std::min(value, 65535u)); }

}  // namespace

void apply_modes(termios& settings, const std::vector<ssh::TerminalMode>& modes) {
  for (const ssh::TerminalMode& mode : modes) {
    if (mode.opcode == kOpcodeInputSpeed || mode.opcode == kOpcodeOutputSpeed) {
      for (const Speed& speed : kSpeeds) {
        if (speed.baud != mode.argument) continue;
        if (mode.opcode == kOpcodeInputSpeed)
          ::cfsetispeed(&settings, speed.value);
        else
          ::cfsetospeed(&settings, speed.value);
      }
      continue;
    }
    const Mode* known = std::find_if(std::begin(kModes), std::end(kModes),
                                     [&](const Mode& candidate) { return candidate.opcode == mode.opcode; });
    if (known == std::end(kModes)) continue;
    bool on = mode.argument != 0;
    switch (known->kind) {
      case Kind::kCharacter:
        settings.c_cc[known->value] = mode.argument == kDisabledCharacter ? static_cast<cc_t>(_POSIX_VDISABLE)
                                                                          : static_cast<cc_t>(mode.argument & 0xff);
        break;
      case Kind::kInput: set_flag(settings.c_iflag, known->value, on); break;
      case Kind::kOutput: set_flag(settings.c_oflag, known->value, on); break;
      case Kind::kLocal: set_flag(settings.c_lflag, known->value, on); break;
      case Kind::kControl:
        // CS7 and CS8 share the CSIZE field: the one that is set wins, one that is not set says nothing.
        if (known->value == CS7 || known->value == CS8) {
          if (on) settings.c_cflag = (settings.c_cflag & ~static_cast<tcflag_t>(CSIZE)) | known->value;
        } else {
          set_flag(settings.c_cflag, known->value, on);
        }
        break;
    }
  }
}

Status resize_terminal(int fd, const ssh::TerminalSize& size) {
  winsize window{.ws_row = bounded(size.rows),
                 .ws_col = bounded(size.columns),
                 .ws_xpixel = bounded(size.width_pixels),
                 .ws_ypixel = bounded(size.height_pixels)};
  if (::ioctl(fd, TIOCSWINSZ, &window) != 0) return fail_errno(errno, "setting the size of the terminal");
  return {};
}

Result<Terminal> open_terminal(const ssh::PtyRequest& request, const LoginUser& user) {
  Terminal terminal;
  terminal.master = UniqueFd(::posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK));
  if (!terminal.master) return fail_errno(errno, "opening a pseudo-terminal");
  if (::unlockpt(terminal.master.get()) != 0) return fail_errno(errno, "unlocking the pseudo-terminal");
  char path[128];
  if (::ptsname_r(terminal.master.get(), path, sizeof path) != 0)
    return fail_errno(errno, "naming the pseudo-terminal");
  terminal.path = path;
  // By the descriptor and not by the path, which in another mount namespace is another terminal.
  terminal.slave = UniqueFd(::ioctl(terminal.master.get(), TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC));
  if (!terminal.slave) return fail_errno(errno, "opening the slave of the pseudo-terminal");
  if (::geteuid() == 0) {
    gid_t group = tty_group();
    bool grouped = group != static_cast<gid_t>(-1);
    if (::fchown(terminal.slave.get(), user.uid, grouped ? group : user.gid) != 0 ||
        ::fchmod(terminal.slave.get(), grouped ? 0620 : 0600) != 0) {
      return fail_errno(errno, "giving the pseudo-terminal to the user");
    }
  }
  termios settings{};
  if (::tcgetattr(terminal.slave.get(), &settings) != 0) return fail_errno(errno, "reading the terminal's modes");
  apply_modes(settings, request.modes);
  if (::tcsetattr(terminal.slave.get(), TCSANOW, &settings) != 0) return fail_errno(errno, "setting terminal modes");
  MEZ_CHECK(resize_terminal(terminal.master.get(), request.size));
  return terminal;
}

}  // namespace mezite::agent
