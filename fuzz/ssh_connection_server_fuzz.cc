// The connection protocol as a server; see ssh_connection_fuzz.hh.
#include "ssh_connection_fuzz.hh"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  mezite::fuzz::run_connection(mezite::ssh::Role::kServer, mezite::BytesView(data, size));
  return 0;
}
