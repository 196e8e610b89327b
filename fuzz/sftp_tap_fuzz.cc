// What reads along with SFTP sessions. The input is runs of bytes: a byte whose top bit says from which side, the rest
// of it how many follow (times 4).
#include <cstdlib>

#include "agent/sftp/tap.hh"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace mezite;
  using namespace mezite::agent;
  std::size_t lost = 0, text = 0;
  SftpTap tap({.operation =
                   [&](const FileOperation& operation) {
                     text = std::max({text, operation.path.size(), operation.target.size()});
                   },
               .lost = [&](std::string_view) { ++lost; }});
  for (BytesView rest(data, size); rest.size() > 1;) {
    const bool of_client = (rest[0] & 0x80) != 0;
    const std::size_t run = std::min<std::size_t>(rest.size() - 1, (rest[0] & 0x7f) * 4u);
    const BytesView bytes = rest.subspan(1, run);
    of_client ? tap.from_client(bytes) : tap.from_server(bytes);
    rest = rest.subspan(1 + run);
  }
  tap.end();
  if (lost > 2 || text > 4096) std::abort();
  return 0;
}
