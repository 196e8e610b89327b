#include "client/express.hh"

#include <poll.h>
#include <unistd.h>

#include <cerrno>

#include "base/clock.hh"
#include "base/file.hh"
#include "base/text.hh"

namespace mezite::client {

Status parse_ticket_answer(std::string_view line) {
  if (line == "OK") return {};
  if (line.starts_with("ERR ")) return fail(ErrorCode::kUnavailable, "{}", printable(line.substr(4)));
  return fail(ErrorCode::kProtocol, "this is not the SSH port of a Mezite hub (it said '{}')",
              printable(line.substr(0, 80)));
}

Result<net::Connected> connect_with_ticket(const net::HostPort& hub, std::string_view ticket,
                                           std::chrono::milliseconds timeout) {
  const SteadyTime deadline = system_clock().steady() + timeout;
  MEZ_TRY(auto connected, net::connect_blocking(hub, timeout));
  MEZ_CHECK(write_all(connected.fd.get(), as_bytes(fmt::format("MEZITE-TICKET/1 {}\n", ticket))));
  // Byte by byte: what follows the line is the node's.
  std::string line;
  for (;;) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline - system_clock().steady());
    pollfd wait{connected.fd.get(), POLLIN, 0};
    const int ready = left.count() <= 0 ? 0 : ::poll(&wait, 1, static_cast<int>(left.count()));
    if (ready < 0 && errno == EINTR) continue;
    if (ready == 0) return fail(ErrorCode::kTimeout, "the hub at {} does not connect to the node in time", hub.text());
    char c = 0;
    const ssize_t got = ::read(connected.fd.get(), &c, 1);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return fail_errno(errno, fmt::format("talking to the hub at {}", hub.text()));
    if (got == 0) return fail(ErrorCode::kUnavailable, "the hub at {} closed the connection", hub.text());
    if (c == '\n') break;
    line.push_back(c);
    if (line.size() > 1024) return fail(ErrorCode::kProtocol, "{} is not the SSH port of a Mezite hub", hub.text());
  }
  MEZ_CHECK(parse_ticket_answer(line));
  return connected;
}

}  // namespace mezite::client
