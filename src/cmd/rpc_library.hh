// gRPC ends on a thread of its own after its last channel or server is gone. A process that leaves main() meanwhile has
// that thread work with what exit handlers (OpenSSL's, for one) are taking apart.
#pragma once

#include <grpc/grpc.h>

namespace mezite {

// Made first in main(), so that it outlives every channel and server: its end is the end of all that gRPC runs.
class RpcLibrary {
 public:
  RpcLibrary() { grpc_init(); }
  RpcLibrary(const RpcLibrary&) = delete;
  RpcLibrary& operator=(const RpcLibrary&) = delete;
  ~RpcLibrary() { grpc_shutdown_blocking(); }
};

}  // namespace mezite
