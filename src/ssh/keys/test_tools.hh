// For tests: a folder that goes away, and running the stock programs.
#pragma once

#include <stdlib.h>
#include <sys/wait.h>

#include <filesystem>
#include <string>
#include <string_view>

#include "base/file.hh"

namespace mezite::ssh::testing_tools {

class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::string pattern = std::filesystem::temp_directory_path() / "mezite-test-XXXXXX";
    path_ = ::mkdtemp(pattern.data());
  }
  ~TemporaryFolder() { std::filesystem::remove_all(path_); }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;

  std::string file(std::string_view name) const { return path_ + "/" + std::string(name); }
  void put(std::string_view name, std::string_view content) const { (void)write_file(file(name), as_bytes(content)); }
  std::string get(std::string_view name) const {
    auto content = read_file(file(name));
    return content ? to_text(*content) : "(cannot read " + file(name) + ")";
  }

  struct Outcome {
    int status = -1;
    std::string output;  // stdout and stderr
  };
  // In this folder, by sh.
  Outcome run(std::string_view command) const {
    const std::string line = "cd " + path_ + " && ( " + std::string(command) + " ) > .out 2>&1 < /dev/null";
    const int status = ::system(line.c_str());
    return {WIFEXITED(status) ? WEXITSTATUS(status) : -1, get(".out")};
  }

 private:
  std::string path_;
};

}  // namespace mezite::ssh::testing_tools
