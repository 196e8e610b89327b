// For the tests of this folder: a folder that goes away, headers, and files read whole.
#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <string>
#include <vector>

#include "base/file.hh"
#include "base/id.hh"
#include "recording/reader.hh"
#include "recording/writer.hh"

namespace mezite::recording {

class TempFolder {
 public:
  TempFolder() {
    std::string pattern = (std::filesystem::temp_directory_path() / "mezite-recording-XXXXXX").native();
    path_ = ::mkdtemp(pattern.data());
  }
  ~TempFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TempFolder(const TempFolder&) = delete;
  TempFolder& operator=(const TempFolder&) = delete;
  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path operator/(std::string_view name) const { return path_ / name; }

 private:
  std::filesystem::path path_;
};

// The hub that the recordings of these tests are made for.
inline const Identity& some_hub() {
  static const Identity hub = Identity::generate();
  return hub;
}
inline ReadOptions with_tags(const Identity& hub = some_hub()) {
  ReadOptions options;
  options.chain_key = [&hub](const Header& header) { return open_chain_key(header.chain_key, hub, header.session_id); };
  return options;
}

inline Header some_header(SessionKind kind = SessionKind::kPty, std::string id = new_uuid()) {
  SealedKey chain_key = seal_chain_key(Secret(std::size_t{32}), some_hub().recipient(), id).value();
  return {.session_id = std::move(id),
          .cluster_name = "main",
          .user = "alice",
          .login = "root",
          .node = "web-01",
          .node_id = "0f0e0d0c-0b0a-4908-8706-050403020100",
          .client_address = "203.0.113.7:50122",
          .kind = kind,
          .command = kind == SessionKind::kExec ? "ls" : "",
          .started_at = from_unix_millis(1'800'000'000'123),
          .columns = 80,
          .rows = 24,
          .keys = {},
          .chain_key = std::move(chain_key)};
}

inline Pull pull_from(BytesView bytes) {
  return [bytes](std::span<std::uint8_t> buffer) mutable -> Result<std::size_t> {
    const std::size_t size = std::min(buffer.size(), bytes.size());
    std::copy_n(bytes.begin(), size, buffer.begin());
    bytes = bytes.subspan(size);
    return size;
  };
}

struct ReadBack {
  std::vector<Event> events;
  std::optional<Error> error;
  bool complete = false;
  std::uint64_t valid_bytes = 0;

  std::string text(EventKind kind) const {
    std::string all;
    for (const Event& event : events) {
      if (event.kind == kind) all += as_text(event.data);
    }
    return all;
  }
};

inline ReadBack read_back(Pull pull, const ReadOptions& options = {}) {
  ReadBack back;
  auto reader = Reader::open(std::move(pull), options);
  if (!reader) {
    back.error = reader.error();
    return back;
  }
  for (;;) {
    auto event = reader->next();
    if (!event) {
      back.error = event.error();
      break;
    }
    if (!*event) break;
    back.events.push_back(**event);
  }
  back.complete = reader->complete();
  back.valid_bytes = reader->valid_bytes();
  return back;
}

inline ReadBack read_back_file(const std::filesystem::path& path) {
  const Bytes bytes = read_file(path, std::size_t{1} << 30).value();
  return read_back(pull_from(bytes));
}

}  // namespace mezite::recording
