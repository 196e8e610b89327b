// A TLS connection behind a socket in clear, for code that wants a descriptor.
#pragma once

#include <memory>

#include "base/unique_fd.hh"
#include "net/shard.hh"

namespace mezite::crypto {
class TlsEngine;
}

namespace mezite::net {

// The end of a socket pair whose bytes go through TLS over `connected`; non-blocking, close-on-exec. It lives on the
// shard until either side ends, then ends the other after what is under way. A handshake that fails closes it, with a
// line in the log.
Result<UniqueFd> open_tls_tunnel(Shard& shard, UniqueFd connected, std::unique_ptr<crypto::TlsEngine> tls);

}  // namespace mezite::net
