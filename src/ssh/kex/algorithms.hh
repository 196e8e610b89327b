// Key exchange methods of this build, and the names in KEXINIT that stand for something else.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "crypto/hash.hh"
#include "crypto/kex.hh"

namespace mezite::ssh {

// The post-quantum key encapsulation that a hybrid method joins with its elliptic curve.
enum class KexKem : std::uint8_t { kNone, kMlKem768, kSntrup761 };

// Diffie-Hellman with a modulus is for clients of old servers: what it costs a server, strangers could ask for.
enum class KexRoles : std::uint8_t { kBoth, kClient };

// All of them exchange messages 30 and 31 with one value each way and hash alike: RFC 4253 §8, RFC 5656 §4, RFC 8731,
// draft-ietf-sshm-mlkem-hybrid-kex, draft-ietf-sshm-ntruprime-ssh.
struct KexAlgorithm {
  std::string_view name;
  KexKem kem;
  crypto::KeyAgreementGroup group;
  crypto::HashAlgorithm hash;  // of the exchange, and of the keys derived from it
  KexRoles roles = KexRoles::kBoth;
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
