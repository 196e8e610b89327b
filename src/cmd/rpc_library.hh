// gRPC ends on a thread of its own after its last channel or server is gone. A process that leaves main() meanwhile has
// that thread work with what exit handlers are taking apart. (OpenSSL's is switched off, crypto/exit_handler.hh:
// threads of gRPC's that nobody waits for may end later still.)
#pragma once

#include <grpc/grpc.h>

namespace mezite {

// Made before any channel or server, so that it outlives them: its end is the end of all that gRPC runs. Signals that
// the program waits for are blocked before, because gRPC's threads inherit what is.
class RpcLibrary {
 public:
  RpcLibrary() { grpc_init(); }
  RpcLibrary(const RpcLibrary&) = delete;
  RpcLibrary& operator=(const RpcLibrary&) = delete;
  ~RpcLibrary() { grpc_shutdown_blocking(); }
};

}  // namespace mezite
