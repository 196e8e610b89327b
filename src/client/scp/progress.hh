// The line on a terminal that says how far a copy is.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

#include "base/clock.hh"

namespace mezite::client {

// "12.3 MB": at most four digits and a unit.
std::string short_bytes(std::uint64_t bytes);
// "02:05", "1:02:05".
std::string short_time(std::chrono::seconds duration);

// How it looks: name, percent, bytes, rate, time left, in so many columns.
struct ProgressState {
  std::string name;  // printable
  std::uint64_t done = 0;
  std::uint64_t total = 0;
  double bytes_per_second = 0;
};
std::string progress_line(const ProgressState& state, std::size_t columns);

// Draws at most five times a second; where nobody looks (not a terminal, or quiet) it does nothing.
class Progress {
 public:
  enum class Shown { kNo, kYes };
  Progress(int fd, Shown shown, const Clock& clock = system_clock());
  ~Progress() { clear(); }
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  void started(const std::string& name, std::uint64_t bytes);
  void advance(std::uint64_t bytes);
  void finished(const std::string& name, std::uint64_t bytes, bool good);
  // Takes the line away, so that something else can be said.
  void clear();

 private:
  void draw();
  void write(const std::string& text) const;
  std::size_t columns() const;

  const int fd_;
  const bool shown_;
  const Clock& clock_;
  std::string name_;
  std::size_t running_ = 0;
  std::uint64_t done_ = 0;   // of all files so far
  std::uint64_t total_ = 0;  // of those begun
  SteadyTime began_;
  SteadyTime drawn_{};
  bool on_screen_ = false;
};

}  // namespace mezite::client
