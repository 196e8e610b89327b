// Keys that recordings are encrypted to.
#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include "base/file.hh"
#include "base/text.hh"
#include "base/unique_fd.hh"
#include "cmd/mezctl/commands.hh"
#include "recording/recipient.hh"

namespace mezite::mezctl {

// Needs no hub: the private key never leaves this machine.
Status recordings_keygen(Context& context, const std::string& output) {
  if (output.empty()) {
    return fail(ErrorCode::kInvalidArgument, "name the file for the private key: --output=FILE");
  }
  const recording::Identity identity = recording::Identity::generate();
  const Secret text = identity.file_text(context.now());
  const UniqueFd file(::open(output.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!file) {
    if (errno == EEXIST) {
      return fail(ErrorCode::kAlreadyExists,
                  "{} is there already; name another file, as a key that is lost can't be made again",
                  printable(output));
    }
    return fail_errno(errno, fmt::format("making {}", printable(output)));
  }
  if (auto written = write_all(file.get(), text.view()); !written || ::fsync(file.get()) != 0) {
    ::unlink(output.c_str());
    return written ? Status(fail_errno(errno, "writing the private key")) : written;
  }
  say(
      fmt::format("the private key is in {}: keep it and a copy of it, without it nobody can play what is encrypted to "
                  "this public key; set the hub's recording.recipients to",
                  printable(output)));
  return context.print(to_text(identity.recipient()) + "\n");
}

}  // namespace mezite::mezctl
