#include "ssh/keys/algorithm.hh"

#include <array>

namespace mezite::ssh {
namespace {

using enum KeyType;

constexpr std::array kAlgorithms = {
    PublicKeyAlgorithm{"ssh-ed25519-cert-v01@openssh.com", "ssh-ed25519-cert-v01@openssh.com", "ssh-ed25519", kEd25519,
                       KeyForm::kCertificate},
    PublicKeyAlgorithm{"ecdsa-sha2-nistp256-cert-v01@openssh.com", "ecdsa-sha2-nistp256-cert-v01@openssh.com",
                       "ecdsa-sha2-nistp256", kEcdsaP256, KeyForm::kCertificate},
    PublicKeyAlgorithm{"ecdsa-sha2-nistp384-cert-v01@openssh.com", "ecdsa-sha2-nistp384-cert-v01@openssh.com",
                       "ecdsa-sha2-nistp384", kEcdsaP384, KeyForm::kCertificate},
    PublicKeyAlgorithm{"ecdsa-sha2-nistp521-cert-v01@openssh.com", "ecdsa-sha2-nistp521-cert-v01@openssh.com",
                       "ecdsa-sha2-nistp521", kEcdsaP521, KeyForm::kCertificate},
    PublicKeyAlgorithm{"rsa-sha2-512-cert-v01@openssh.com", "ssh-rsa-cert-v01@openssh.com", "rsa-sha2-512", kRsa,
                       KeyForm::kCertificate},
    PublicKeyAlgorithm{"rsa-sha2-256-cert-v01@openssh.com", "ssh-rsa-cert-v01@openssh.com", "rsa-sha2-256", kRsa,
                       KeyForm::kCertificate},
    PublicKeyAlgorithm{"sk-ssh-ed25519-cert-v01@openssh.com", "sk-ssh-ed25519-cert-v01@openssh.com",
                       "sk-ssh-ed25519@openssh.com", kSkEd25519, KeyForm::kCertificate},
    PublicKeyAlgorithm{"sk-ecdsa-sha2-nistp256-cert-v01@openssh.com", "sk-ecdsa-sha2-nistp256-cert-v01@openssh.com",
                       "sk-ecdsa-sha2-nistp256@openssh.com", kSkEcdsaP256, KeyForm::kCertificate},
    PublicKeyAlgorithm{"ssh-ed25519", "ssh-ed25519", "ssh-ed25519", kEd25519, KeyForm::kPlain},
    PublicKeyAlgorithm{"ecdsa-sha2-nistp256", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp256", kEcdsaP256,
                       KeyForm::kPlain},
    PublicKeyAlgorithm{"ecdsa-sha2-nistp384", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp384", kEcdsaP384,
                       KeyForm::kPlain},
    PublicKeyAlgorithm{"ecdsa-sha2-nistp521", "ecdsa-sha2-nistp521", "ecdsa-sha2-nistp521", kEcdsaP521,
                       KeyForm::kPlain},
    PublicKeyAlgorithm{"rsa-sha2-512", "ssh-rsa", "rsa-sha2-512", kRsa, KeyForm::kPlain},
    PublicKeyAlgorithm{"rsa-sha2-256", "ssh-rsa", "rsa-sha2-256", kRsa, KeyForm::kPlain},
    PublicKeyAlgorithm{"sk-ssh-ed25519@openssh.com", "sk-ssh-ed25519@openssh.com", "sk-ssh-ed25519@openssh.com",
                       kSkEd25519, KeyForm::kPlain},
    PublicKeyAlgorithm{"sk-ecdsa-sha2-nistp256@openssh.com", "sk-ecdsa-sha2-nistp256@openssh.com",
                       "sk-ecdsa-sha2-nistp256@openssh.com", kSkEcdsaP256, KeyForm::kPlain},
};

constexpr std::string_view kEd25519Signatures[] = {"ssh-ed25519"};
constexpr std::string_view kP256Signatures[] = {"ecdsa-sha2-nistp256"};
constexpr std::string_view kP384Signatures[] = {"ecdsa-sha2-nistp384"};
constexpr std::string_view kP521Signatures[] = {"ecdsa-sha2-nistp521"};
constexpr std::string_view kRsaSignatures[] = {"rsa-sha2-512", "rsa-sha2-256"};
constexpr std::string_view kSkEd25519Signatures[] = {"sk-ssh-ed25519@openssh.com"};
constexpr std::string_view kSkP256Signatures[] = {"sk-ecdsa-sha2-nistp256@openssh.com"};

std::string_view key_name(KeyType type, KeyForm form) {
  for (const auto& algorithm : kAlgorithms) {
    if (algorithm.type == type && algorithm.form == form) return algorithm.key_name;
  }
  return {};
}

}  // namespace

crypto::KeyAlgorithm crypto_algorithm(KeyType type) {
  switch (type) {
    case kEd25519:
    case kSkEd25519: return crypto::KeyAlgorithm::kEd25519;
    case kEcdsaP256:
    case kSkEcdsaP256: return crypto::KeyAlgorithm::kEcdsaP256;
    case kEcdsaP384: return crypto::KeyAlgorithm::kEcdsaP384;
    case kEcdsaP521: return crypto::KeyAlgorithm::kEcdsaP521;
    case kRsa: return crypto::KeyAlgorithm::kRsa;
  }
  return crypto::KeyAlgorithm::kEd25519;
}

KeyType key_type(crypto::KeyAlgorithm algorithm) {
  switch (algorithm) {
    case crypto::KeyAlgorithm::kEd25519: return kEd25519;
    case crypto::KeyAlgorithm::kEcdsaP256: return kEcdsaP256;
    case crypto::KeyAlgorithm::kEcdsaP384: return kEcdsaP384;
    case crypto::KeyAlgorithm::kEcdsaP521: return kEcdsaP521;
    case crypto::KeyAlgorithm::kRsa: return kRsa;
  }
  return kEd25519;
}

std::span<const PublicKeyAlgorithm> public_key_algorithms() { return kAlgorithms; }

const PublicKeyAlgorithm* find_public_key_algorithm(std::string_view name) {
  for (const auto& algorithm : kAlgorithms) {
    if (algorithm.name == name) return &algorithm;
  }
  return nullptr;
}

std::string_view plain_key_name(KeyType type) { return key_name(type, KeyForm::kPlain); }
std::string_view certificate_key_name(KeyType type) { return key_name(type, KeyForm::kCertificate); }

std::span<const std::string_view> signature_algorithms(KeyType type) {
  switch (type) {
    case kEd25519: return kEd25519Signatures;
    case kEcdsaP256: return kP256Signatures;
    case kEcdsaP384: return kP384Signatures;
    case kEcdsaP521: return kP521Signatures;
    case kRsa: return kRsaSignatures;
    case kSkEd25519: return kSkEd25519Signatures;
    case kSkEcdsaP256: return kSkP256Signatures;
  }
  return {};
}

}  // namespace mezite::ssh
