// A file of bulk data, read and appended to past the kernel's page cache (O_DIRECT): new pages for a gigabyte that
// nobody looks at again cost more CPU than all else that is done with it, and push out what is in use. By way of the
// cache where the file system can't, for little data, and for what is not whole pages.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <memory>

#include "base/bytes.hh"
#include "base/result.hh"
#include "base/unique_fd.hh"
#include "recording/direct_io.hh"

namespace mezite::recording {

// Calls block on the disk, without read-ahead or write-behind. One thread at a time. Takes 1 MiB once it is used.
class BulkFile {
 public:
  static constexpr std::size_t kPieceBytes = std::size_t{1} << 20;

  enum class Access : std::uint8_t {
    kRead,
    kAppend,  // and read; the file is made (0600) when it is not there
  };
  // Symbolic links are not followed. kNotFound: there is no such file.
  static Result<BulkFile> open(const std::filesystem::path& path, Access access = Access::kRead);

  Result<std::uint64_t> size() const;

  // What is there from the offset on: up to the next multiple of kPieceBytes, `most` bytes or the end of the file;
  // empty at the end and behind it. The view is valid until the next call.
  Result<BytesView> read(std::uint64_t offset, std::size_t most = kPieceBytes);

  // `at` is the size of the file now. After an error it may have grown by some of the bytes. Durable with sync() only.
  Status append(std::uint64_t at, BytesView bytes);
  Status truncate(std::uint64_t size);
  Status sync();

  bool passes_cache() const { return direct_.on(); }  // whether the last piece of whole pages did

 private:
  struct Free {
    void operator()(std::uint8_t* memory) const { std::free(memory); }
  };

  BulkFile(UniqueFd fd, std::uint64_t size_bytes);
  Status make_buffer();

  UniqueFd fd_;
  bool is_bulk_;  // by its size when it was opened or appended to
  DirectIo direct_;
  std::unique_ptr<std::uint8_t, Free> buffer_;
};

}  // namespace mezite::recording
