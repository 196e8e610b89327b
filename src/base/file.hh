// Files that are whole or not there: written to a temporary name, synced, renamed.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <filesystem>
#include <string>

#include "base/bytes.hh"

namespace mezite {

// The whole file; refuses one larger than limit_bytes.
Result<Bytes> read_file(const std::filesystem::path& path, std::size_t limit_bytes = std::size_t{16} << 20);

// Replaces path atomically and durably: after success the new content survives a crash; before it, the old one does.
Status write_file(const std::filesystem::path& path, BytesView content, mode_t mode = 0600);

// Makes the folder and its parents with the mode given; one that is there is left as it is.
Status make_directories(const std::filesystem::path& path, mode_t mode = 0700);

// Makes a rename or an unlink in this folder durable.
Status sync_directory(const std::filesystem::path& path);

// write(2) until all is written; EINTR is retried.
Status write_all(int fd, BytesView content);

}  // namespace mezite
