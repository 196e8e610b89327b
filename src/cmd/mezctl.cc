#include "cmd/mezctl/command_line.hh"

int main(int argc, char** argv) { return mezite::mezctl::run(argc, argv); }
