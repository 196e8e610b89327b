#include "probe.hh"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <charconv>
#include <filesystem>
#include <sstream>

#include "base/file.hh"
#include "ssh/kex/algorithms.hh"

namespace mezite::interop {

std::vector<std::string> words_of(std::string_view line) {
  std::istringstream in{std::string(line)};
  std::vector<std::string> words;
  for (std::string word; in >> word;) words.push_back(word);
  return words;
}

Result<Cell> parse_cell(const std::vector<std::string>& words, std::size_t first) {
  if (words.size() < first + 5) return fail(ErrorCode::kInvalidArgument, "a row has five words");
  const std::string& number = words[first + 4];
  std::uint64_t rekey = 0;
  const auto parsed = std::from_chars(number.data(), number.data() + number.size(), rekey);
  if (parsed.ec != std::errc() || parsed.ptr != number.data() + number.size()) {
    return fail(ErrorCode::kInvalidArgument, "the fifth word of a row is a number of bytes");
  }
  return Cell{words[first], words[first + 1], words[first + 2], words[first + 3], rekey};
}

void apply(const Cell& cell, ssh::TransportConfig& config) {
  const auto only = [](std::vector<std::string>& names, const std::string& name) {
    if (name != "-") names = {name};
  };
  only(config.algorithms.kex, cell.kex);
  only(config.algorithms.host_keys, cell.host_key);
  only(config.algorithms.ciphers, cell.cipher);
  only(config.algorithms.macs, cell.mac);
  if (cell.rekey_bytes > 0) config.rekey.bytes = cell.rekey_bytes;
}

Result<std::string> read_text(const std::string& path) {
  MEZ_TRY(const Bytes bytes, read_file(path));
  return to_text(bytes);
}

Result<ssh::Identity> load_identity(const std::string& path) {
  MEZ_TRY(const std::string pem, read_text(path));
  MEZ_TRY(ssh::PrivateKey key, ssh::PrivateKey::from_pem(pem));
  ssh::Identity identity{std::make_shared<ssh::PrivateKey>(std::move(key)), {}};
  if (std::filesystem::exists(path + "-cert.pub")) {
    MEZ_TRY(const std::string line, read_text(path + "-cert.pub"));
    MEZ_TRY(identity.certificate, ssh::Certificate::from_text(line));
  }
  return identity;
}

void print_lists(ssh::Role role) {
  ssh::AlgorithmPreferences names = ssh::AlgorithmPreferences::defaults();
  std::erase_if(names.kex, [&](const std::string& name) {
    return role == ssh::Role::kServer && ssh::find_kex_algorithm(name)->roles == ssh::KexRoles::kClient;
  });
  fmt::print("kex {}\nhostkey {}\ncipher {}\nmac {}\n", fmt::join(names.kex, " "), fmt::join(names.host_keys, " "),
             fmt::join(names.ciphers, " "), fmt::join(names.macs, " "));
}

std::string describe(const ssh::Transport* transport) {
  if (!transport || transport->counters().key_exchanges == 0) return "- - - - - - 0 -";
  const auto or_dash = [](std::string_view name) { return name.empty() ? std::string_view("-") : name; };
  const ssh::NegotiatedAlgorithms& agreed = transport->algorithms();
  return fmt::format("{} {} {} {} {} {} {} {}", agreed.kex, agreed.host_key, agreed.client_to_server.cipher,
                     agreed.server_to_client.cipher, or_dash(agreed.client_to_server.mac),
                     or_dash(agreed.server_to_client.mac), transport->counters().key_exchanges,
                     or_dash(transport->peer_version().substr(0, transport->peer_version().find(' '))));
}

}  // namespace mezite::interop
