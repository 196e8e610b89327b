#include "client/relay_streams.hh"

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>

#include "base/file.hh"

namespace mezite::client {

Status relay_standard_streams(UniqueFd socket) {
  std::array<std::uint8_t, 65536> bytes;
  bool input_open = true;
  for (;;) {
    pollfd waits[2] = {{socket.get(), POLLIN, 0}, {input_open ? STDIN_FILENO : -1, POLLIN, 0}};
    if (::poll(waits, 2, -1) < 0) {
      if (errno == EINTR) continue;
      return fail_errno(errno, "waiting for data");
    }
    if (waits[0].revents != 0) {
      const ssize_t got = ::read(socket.get(), bytes.data(), bytes.size());
      if (got < 0 && errno == EINTR) continue;
      if (got <= 0) return {};
      MEZ_CHECK(write_all(STDOUT_FILENO, BytesView(bytes).first(static_cast<std::size_t>(got))));
    }
    if (waits[1].revents != 0) {
      const ssize_t got = ::read(STDIN_FILENO, bytes.data(), bytes.size());
      if (got < 0 && errno == EINTR) continue;
      if (got <= 0) {
        input_open = false;
        ::shutdown(socket.get(), SHUT_WR);
        continue;
      }
      MEZ_CHECK(write_all(socket.get(), BytesView(bytes).first(static_cast<std::size_t>(got))));
    }
  }
}

}  // namespace mezite::client
