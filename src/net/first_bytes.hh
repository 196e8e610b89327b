// Reading what a peer says first, before it is known which protocol it speaks.
#pragma once

#include <chrono>
#include <functional>

#include "base/bytes.hh"
#include "base/unique_fd.hh"
#include "net/shard.hh"

namespace mezite::net {

enum class FirstBytesVerdict { kMore, kEnough };

struct FirstBytes {
  UniqueFd fd;
  Bytes bytes;  // all that has been read so far; to be handed to the protocol
};

// Reads from a non-blocking socket until decide(bytes so far) says kEnough, then calls then once, on the shard (never
// from within this call). A peer that has said nothing when the time is over is put to decide() with no bytes: some
// protocols let the server speak first. The function that comes back ends the reading, on the shard, with kUnavailable;
// afterwards it does nothing. Errors: kProtocol at limit bytes without a decision or at the peer's end,
// kTimeout, kIo.
std::function<void()> read_first_bytes(Shard& shard, UniqueFd fd, std::size_t limit, std::chrono::milliseconds timeout,
                                       std::function<FirstBytesVerdict(BytesView)> decide,
                                       std::move_only_function<void(Result<FirstBytes>)> then);

}  // namespace mezite::net
