// Which addresses belong to the internet at large. Inside src/audit/sink/ only.
#pragma once

#include <sys/socket.h>

namespace mezite::audit {

// False for loopback, private, link-local, shared, multicast, documentation and every other special range (RFC 6890),
// also where an IPv6 address carries an IPv4 one.
bool is_public_address(const sockaddr& address);

}  // namespace mezite::audit
