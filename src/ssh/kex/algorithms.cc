#include "ssh/kex/algorithms.hh"

#include <algorithm>
#include <array>

namespace mezite::ssh {

namespace {

constexpr std::array<KexAlgorithm, 3> kAlgorithms{{
    {"curve25519-sha256", crypto::KeyAgreementGroup::kX25519},
    {"curve25519-sha256@libssh.org", crypto::KeyAgreementGroup::kX25519},
    {"ecdh-sha2-nistp256", crypto::KeyAgreementGroup::kP256},
}};

}  // namespace

std::span<const KexAlgorithm> kex_algorithms() { return kAlgorithms; }

const KexAlgorithm* find_kex_algorithm(std::string_view name) {
  const auto found = std::ranges::find(kAlgorithms, name, &KexAlgorithm::name);
  return found == kAlgorithms.end() ? nullptr : &*found;
}

}  // namespace mezite::ssh
