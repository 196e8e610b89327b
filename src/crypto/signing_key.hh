// Asymmetric keys: VerifyingKey is the public half, SigningKey both. Both are cheap to copy (shared, immutable) and may
// be used from any thread at once.
#pragma once

#include <memory>
#include <string_view>

#include "base/bytes.hh"
#include "base/result.hh"
#include "base/secret.hh"

struct evp_pkey_st;

namespace mezite::crypto {

enum class KeyAlgorithm { kEd25519, kEcdsaP256, kEcdsaP384, kEcdsaP521, kRsa };

// What a signature hashes with; Ed25519 takes kNone only, the others never do.
enum class SignatureHash { kNone, kSha256, kSha384, kSha512 };

inline constexpr int kMinRsaBits = 2048;
inline constexpr int kMaxRsaBits = 16384;

// The numbers of an RSA key as unsigned big-endian magnitudes.
struct RsaPublicNumbers {
  Bytes modulus;
  Bytes exponent;
};
struct RsaPrivateNumbers {
  Secret d, p, q, iqmp;
};

// Signatures are: Ed25519 64 bytes (RFC 8032); ECDSA r ‖ s, each as wide as the curve's order (IEEE P1363); RSA
// PKCS #1 v1.5.
class VerifyingKey {
 public:
  static Result<VerifyingKey> ed25519(BytesView raw);                      // 32 bytes
  static Result<VerifyingKey> ecdsa(KeyAlgorithm curve, BytesView point);  // uncompressed, on the curve, not infinity
  // Refused cheaply, before any arithmetic: sizes outside kMinRsaBits..kMaxRsaBits, even numbers, exponents under 3 or
  // over 2^32.
  static Result<VerifyingKey> rsa(const RsaPublicNumbers& numbers);
  static Result<VerifyingKey> from_spki(BytesView der);  // X.509 SubjectPublicKeyInfo, the algorithms above only

  KeyAlgorithm algorithm() const { return algorithm_; }
  int bits() const;
  Bytes spki() const;                    // X.509 SubjectPublicKeyInfo, DER
  std::string spki_sha256_hex() const;   // its SHA-256: the form of a pin, without "sha256:"
  Bytes raw() const;                     // Ed25519: 32 bytes; ECDSA: the uncompressed point; RSA: empty
  RsaPublicNumbers rsa_numbers() const;  // RSA only, else empty

  // kUnauthenticated when the signature does not verify, whatever is wrong with it.
  Status verify(SignatureHash hash, BytesView message, BytesView signature) const;

  // For the other files of this folder.
  evp_pkey_st* handle() const { return key_.get(); }
  static Result<VerifyingKey> from_handle(std::shared_ptr<evp_pkey_st> key);

 private:
  friend class SigningKey;
  VerifyingKey(KeyAlgorithm algorithm, std::shared_ptr<evp_pkey_st> key)
      : algorithm_(algorithm), key_(std::move(key)) {}
  KeyAlgorithm algorithm_;
  std::shared_ptr<evp_pkey_st> key_;
};

class SigningKey {
 public:
  // rsa_bits counts for kRsa only.
  static Result<SigningKey> generate(KeyAlgorithm algorithm, int rsa_bits = 3072);
  static Result<SigningKey> from_pkcs8(BytesView der);  // unencrypted
  static Result<SigningKey> from_pem(
      std::string_view pem);  // "PRIVATE KEY", "EC PRIVATE KEY", "RSA PRIVATE KEY"; unencrypted
  // From the numbers that OpenSSH's format keeps; the public half given must be the one of the private half.
  static Result<SigningKey> from_ed25519_seed(BytesView seed);  // 32 bytes
  static Result<SigningKey> from_ecdsa(KeyAlgorithm curve, BytesView point, BytesView scalar);
  static Result<SigningKey> from_rsa(const RsaPublicNumbers& numbers, const RsaPrivateNumbers& private_numbers);

  KeyAlgorithm algorithm() const { return public_.algorithm(); }
  const VerifyingKey& public_key() const { return public_; }
  Result<Secret> to_pkcs8() const;
  Result<Secret> to_pem() const;  // "PRIVATE KEY"

  // The private half as OpenSSH's format wants it: the seed of Ed25519, the scalar of ECDSA.
  Result<Secret> private_raw() const;
  Result<RsaPrivateNumbers> rsa_private_numbers() const;

  Result<Bytes> sign(SignatureHash hash, BytesView message) const;

  evp_pkey_st* handle() const { return public_.handle(); }

 private:
  explicit SigningKey(VerifyingKey key) : public_(std::move(key)) {}
  static Result<SigningKey> checked(std::shared_ptr<evp_pkey_st> key);
  VerifyingKey public_;  // its handle holds the private half too
};

}  // namespace mezite::crypto
