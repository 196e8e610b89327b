#include "ssh/cipher/algorithms.hh"

#include <algorithm>
#include <array>

namespace mezite::ssh {

namespace {

constexpr std::array<CipherAlgorithm, 6> kCiphers{{
    {"aes128-gcm@openssh.com", CipherKind::kAesGcm, 16, 12},
    {"aes256-gcm@openssh.com", CipherKind::kAesGcm, 32, 12},
    {"chacha20-poly1305@openssh.com", CipherKind::kChaCha20Poly1305, 64, 0},
    {"aes128-ctr", CipherKind::kAesCtr, 16, 16},
    {"aes192-ctr", CipherKind::kAesCtr, 24, 16},
    {"aes256-ctr", CipherKind::kAesCtr, 32, 16},
}};

constexpr std::array<MacAlgorithm, 4> kMacs{{
    {"hmac-sha2-256-etm@openssh.com", crypto::HmacHash::kSha256, 32, MacOrder::kEncryptThenMac},
    {"hmac-sha2-512-etm@openssh.com", crypto::HmacHash::kSha512, 64, MacOrder::kEncryptThenMac},
    {"hmac-sha2-256", crypto::HmacHash::kSha256, 32, MacOrder::kEncryptAndMac},
    {"hmac-sha2-512", crypto::HmacHash::kSha512, 64, MacOrder::kEncryptAndMac},
}};

template <class Table>
auto find(const Table& table, std::string_view name) -> decltype(table.data()) {
  const auto found = std::ranges::find(table, name, [](const auto& row) { return row.name; });
  return found == table.end() ? nullptr : &*found;
}

}  // namespace

std::span<const CipherAlgorithm> cipher_algorithms() { return kCiphers; }
std::span<const MacAlgorithm> mac_algorithms() { return kMacs; }
const CipherAlgorithm* find_cipher_algorithm(std::string_view name) { return find(kCiphers, name); }
const MacAlgorithm* find_mac_algorithm(std::string_view name) { return find(kMacs, name); }

}  // namespace mezite::ssh
