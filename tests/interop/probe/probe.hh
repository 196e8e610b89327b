// What the two probe programs share: key material by path, and a row of the matrix as one line of text.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hh"
#include "ssh/keys/identity.hh"
#include "ssh/keys/private_key.hh"
#include "ssh/transport/transport.hh"

namespace mezite::interop {

// One row: what exactly one name of each list is offered for. "-" stands for the defaults.
struct Cell {
  std::string kex, host_key, cipher, mac;
  std::uint64_t rekey_bytes = 0;
};

// KEX HOSTKEY CIPHER MAC REKEY_BYTES, from words[first] on.
Result<Cell> parse_cell(const std::vector<std::string>& words, std::size_t first);
std::vector<std::string> words_of(std::string_view line);
// Offers what the cell says and nothing else.
void apply(const Cell& cell, ssh::TransportConfig& config);

// The private key in PATH, with the certificate of PATH-cert.pub when that is there.
Result<ssh::Identity> load_identity(const std::string& path);
Result<std::string> read_text(const std::string& path);

// The algorithms of this build in this role, one list a line: "kex NAME…", "hostkey NAME…", "cipher NAME…", "mac
// NAME…".
void print_lists(ssh::Role role);
// "KEX HOSTKEY CIPHER-IN CIPHER-OUT MAC-IN MAC-OUT EXCHANGES PEER" of a connection.
std::string describe(const ssh::Transport* transport);

}  // namespace mezite::interop
