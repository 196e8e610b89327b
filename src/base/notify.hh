// systemd's readiness protocol (sd_notify(3)), without its library.
#pragma once

#include <string_view>

#include "base/result.hh"

namespace mezite {

// Sends "READY=1", "STOPPING=1", "RELOADING=1" or "STATUS=…" to $NOTIFY_SOCKET; does nothing when that is not set.
// Abstract sockets ("@name") too. One datagram, never blocks.
Status notify_supervisor(std::string_view state);

}  // namespace mezite
