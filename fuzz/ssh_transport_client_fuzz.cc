// The transport as a client; see ssh_transport_fuzz.hh.
#include "ssh_transport_fuzz.hh"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  mezite::fuzz::run(mezite::ssh::Role::kClient, mezite::BytesView(data, size));
  return 0;
}
