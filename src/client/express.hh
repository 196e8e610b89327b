// The express path: a TCP connection to the hub that a dial ticket turns into one to the node's SSH server.
#pragma once

#include <chrono>
#include <string_view>

#include "base/result.hh"
#include "net/connect.hh"

namespace mezite::client {

// Connects and hands in the ticket (docs/protocols.md, "Port 3023"); after that the stream is the node's. The
// descriptor is blocking. A refusal is kUnavailable with the hub's words.
Result<net::Connected> connect_with_ticket(const net::HostPort& hub, std::string_view ticket,
                                           std::chrono::milliseconds timeout = std::chrono::seconds(30));

// The hub's answer line without its line feed: "OK" is success, "ERR words" the error.
Status parse_ticket_answer(std::string_view line);

}  // namespace mezite::client
