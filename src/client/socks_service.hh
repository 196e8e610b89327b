// SOCKS on a connected socket: reads the request, hands it over with the socket.
#pragma once

#include <functional>

#include "base/unique_fd.hh"
#include "client/socks.hh"
#include "net/address.hh"
#include "net/shard.hh"

namespace mezite::client {

struct SocksAsked {
  UniqueFd fd;
  net::HostPort target;
  Bytes rest;     // sent behind the request already
  Bytes granted;  // to be written to fd when the connection is made,
  Bytes failed;   // or when it can't be
};

// fd is non-blocking. then is called once, on the shard, from the loop; not at all for a peer that speaks no SOCKS or
// takes more than 30 seconds, which is closed.
void read_socks_request(net::Shard& shard, UniqueFd fd, std::function<void(SocksAsked)> then);

// Writes a reply, which fits a new socket's buffer.
void send_socks_reply(int fd, BytesView reply);

}  // namespace mezite::client
