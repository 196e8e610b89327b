// Key exchange methods of this build, and the names in KEXINIT that stand for something else.
#pragma once

#include <span>
#include <string_view>

#include "crypto/kex.hh"

namespace mezite::ssh {

// All of them hash with SHA-256 and exchange KEX_ECDH_INIT and KEX_ECDH_REPLY (RFC 5656 §4, RFC 8731).
struct KexAlgorithm {
  std::string_view name;
  crypto::KeyAgreementGroup group;
};

// In order of preference.
std::span<const KexAlgorithm> kex_algorithms();
// nullptr when unknown.
const KexAlgorithm* find_kex_algorithm(std::string_view name);

// Markers among the kex_algorithms of KEXINIT; never negotiated.
inline constexpr std::string_view kStrictKexClient = "kex-strict-c-v00@openssh.com";
inline constexpr std::string_view kStrictKexServer = "kex-strict-s-v00@openssh.com";
inline constexpr std::string_view kExtInfoClient = "ext-info-c";  // RFC 8308 §2.1

}  // namespace mezite::ssh
