#include "cmd/mezctl/command_line.hh"
#include "cmd/rpc_library.hh"
#include "crypto/exit_handler.hh"

int main(int argc, char** argv) {
  mezite::crypto::skip_openssl_exit_handler();
  const mezite::RpcLibrary rpc;
  return mezite::mezctl::run(argc, argv);
}
