// A FileSource into one remote file, with many writes in flight.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "ssh/sftp/client.hh"
#include "ssh/sftp/transfer.hh"

namespace mezite::ssh::sftp {

struct UploadOptions {
  std::uint64_t from = 0;            // bytes that the remote file has already and keeps; 0: it is made or emptied
  std::uint32_t permissions = 0644;  // of a file that is made; the server's umask applies
  Attributes finally;                // set when all is written: times, permissions
  TransferLimits limits;
  ProgressHandler progress;  // counts what the server has acknowledged
};

// As download(): `done` is called once, with the bytes written in this transfer. The file is copied to the source's
// end, whatever its size was before; the first write that fails ends it.
void upload(Client& client, std::string path, FileSource& source, UploadOptions options,
            std::move_only_function<void(Result<std::uint64_t>)> done);

}  // namespace mezite::ssh::sftp
