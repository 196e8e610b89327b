// One remote file into a FileSink, with many reads in flight.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "ssh/sftp/client.hh"
#include "ssh/sftp/transfer.hh"

namespace mezite::ssh::sftp {

struct DownloadOptions {
  std::uint64_t from = 0;  // bytes that the sink has already; more than the file has: an error
  TransferLimits limits;
  ProgressHandler progress;
};

struct Downloaded {
  std::uint64_t bytes = 0;  // that came in this transfer
  Attributes attributes;    // as they were when it began
};

// `done` is called once, from a call into the client (or before this returns, when that has ended); nothing of the
// sink is used afterwards. A file that gets smaller while it is copied is an error; one that grows is copied to its
// end.
void download(Client& client, std::string path, FileSink& sink, DownloadOptions options,
              std::move_only_function<void(Result<Downloaded>)> done);

}  // namespace mezite::ssh::sftp
