#include "ssh/kex/algorithms.hh"

#include <algorithm>
#include <array>

namespace mezite::ssh {

namespace {

using enum crypto::KeyAgreementGroup;
using enum crypto::HashAlgorithm;

constexpr auto kAlgorithms = std::to_array<KexAlgorithm>({
    {"mlkem768x25519-sha256", KexKem::kMlKem768, kX25519, kSha256},
    {"sntrup761x25519-sha512", KexKem::kSntrup761, kX25519, kSha512},
    {"sntrup761x25519-sha512@openssh.com", KexKem::kSntrup761, kX25519, kSha512},
    {"curve25519-sha256", KexKem::kNone, kX25519, kSha256},
    {"curve25519-sha256@libssh.org", KexKem::kNone, kX25519, kSha256},
    {"ecdh-sha2-nistp256", KexKem::kNone, kP256, kSha256},
    {"ecdh-sha2-nistp384", KexKem::kNone, kP384, kSha384},
    {"ecdh-sha2-nistp521", KexKem::kNone, kP521, kSha512},
    {"diffie-hellman-group14-sha256", KexKem::kNone, kModp2048, kSha256, KexRoles::kClient},
    {"diffie-hellman-group16-sha512", KexKem::kNone, kModp4096, kSha512, KexRoles::kClient},
    {"diffie-hellman-group18-sha512", KexKem::kNone, kModp8192, kSha512, KexRoles::kClient},
});

}  // namespace

std::span<const KexAlgorithm> kex_algorithms() { return kAlgorithms; }

const KexAlgorithm* find_kex_algorithm(std::string_view name) {
  const auto found = std::ranges::find(kAlgorithms, name, &KexAlgorithm::name);
  return found == kAlgorithms.end() ? nullptr : &*found;
}

}  // namespace mezite::ssh
