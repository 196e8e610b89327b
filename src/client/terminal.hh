// The user's terminal: size, raw mode, questions without echo, its modes as SSH carries them.
#pragma once

#include <termios.h>

#include <optional>
#include <string>
#include <vector>

#include "base/result.hh"
#include "base/secret.hh"
#include "ssh/connection/requests.hh"

namespace mezite::client {

bool is_terminal(int fd);

// Of the terminal at fd; 80×24 when it does not say.
ssh::TerminalSize terminal_size(int fd);

// The modes of RFC 4254 §8 that the terminal at fd has now; empty when it is none.
std::vector<ssh::TerminalMode> terminal_modes(int fd);

// Raw while it lives: keys go through as they are pressed. Restores what was.
class RawTerminal {
 public:
  static Result<RawTerminal> enter(int fd);
  RawTerminal(RawTerminal&& other) noexcept : fd_(std::exchange(other.fd_, -1)), saved_(other.saved_) {}
  RawTerminal& operator=(RawTerminal&&) = delete;
  ~RawTerminal() { restore(); }
  void restore();

 private:
  RawTerminal(int fd, const termios& saved) : fd_(fd), saved_(saved) {}
  int fd_;
  termios saved_;
};

// Asks on /dev/tty. kFailedPrecondition when there is none.
Result<Secret> ask_secret(const std::string& prompt);
Result<std::string> ask_line(const std::string& prompt);

// One line of standard input, without its line feed.
Result<Secret> read_secret_line(int fd);

}  // namespace mezite::client
