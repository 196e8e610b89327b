// For the tests of this folder: a session as its user types it, key by key, and as it comes to the screen.
#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <string>
#include <string_view>
#include <vector>

#include "recording/search/commands.hh"
#include "recording/test_support.hh"

namespace mezite::recording {

class TypedSession : public testing::Test {
 protected:
  // `key_ms`: from what was before to each key.
  TypedSession(const Header& header, int key_ms)
      : finder_(header, [this](Command command) { found_.push_back(command.text); }), key_ms_(key_ms) {}

  void type(std::string_view keys) { type(keys, key_ms_); }
  void type(std::string_view keys, int after_ms) { event(EventKind::kInput, keys, after_ms); }
  void show(std::string_view text) { event(EventKind::kOutput, text, 1); }
  // Each key by itself, with its echo.
  void echo(std::string_view keys) {
    for (const char& c : keys) {
      type({&c, 1});
      show({&c, 1});
    }
  }
  void event(EventKind kind, std::string_view text, int after_ms) {
    now_ += std::chrono::milliseconds(after_ms);
    finder_.take({.at = now_, .kind = kind, .data = to_bytes(text)});
  }

  std::vector<std::string> found_;
  std::chrono::milliseconds now_{0};
  CommandFinder finder_;

 private:
  const int key_ms_;
};

}  // namespace mezite::recording
