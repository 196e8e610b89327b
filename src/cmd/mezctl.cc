#include "cmd/mezctl/command_line.hh"
#include "cmd/rpc_library.hh"

int main(int argc, char** argv) {
  const mezite::RpcLibrary rpc;
  return mezite::mezctl::run(argc, argv);
}
