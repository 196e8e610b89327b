#include "ssh/kex/key_share.hh"

#include <string.h>

#include <array>

#include "crypto/hash.hh"
#include "crypto/mlkem768.hh"
#include "crypto/sntrup761.hh"

namespace mezite::ssh {

namespace {

namespace mlkem768 = crypto::mlkem768;
namespace sntrup761 = crypto::sntrup761;
using crypto::KeyAgreementGroup;

struct KemSizes {
  std::size_t public_key;
  std::size_t ciphertext;
};

KemSizes sizes_of(KexKem kem) {
  switch (kem) {
    case KexKem::kNone: return {0, 0};
    case KexKem::kMlKem768: return {mlkem768::kPublicKeyBytes, mlkem768::kCiphertextBytes};
    case KexKem::kSntrup761: return {sntrup761::kPublicKeyBytes, sntrup761::kCiphertextBytes};
  }
  return {0, 0};
}

bool is_modp(KeyAgreementGroup group) {
  return group == KeyAgreementGroup::kModp2048 || group == KeyAgreementGroup::kModp4096 ||
         group == KeyAgreementGroup::kModp8192;
}

std::array<std::uint8_t, 4> big_endian(std::size_t value) {
  return {static_cast<std::uint8_t>(value >> 24), static_cast<std::uint8_t>(value >> 16),
          static_cast<std::uint8_t>(value >> 8), static_cast<std::uint8_t>(value)};
}

// As Writer::mpint(), into memory that wipes itself.
Secret to_mpint(const Secret& magnitude) {
  BytesView digits = magnitude.view();
  while (!digits.empty() && digits.front() == 0) digits = digits.subspan(1);
  const bool sign_byte = !digits.empty() && (digits.front() & 0x80) != 0;
  Secret number(big_endian(digits.size() + (sign_byte ? 1 : 0)));
  if (sign_byte) number.append(std::array<std::uint8_t, 1>{0});
  number.append(digits);
  return number;
}

// K of the hybrid methods: string HASH(K_PQ ‖ K_CL).
Secret combine(crypto::HashAlgorithm algorithm, const Secret& kem, const Secret& agreed) {
  crypto::Hasher hasher(algorithm);
  Bytes digest = hasher.update(kem.view()).update(agreed.view()).finish();
  Secret secret(big_endian(digest.size()));
  secret.append(digest);
  ::explicit_bzero(digest.data(), digest.size());
  return secret;
}

void append_public(Bytes& out, const KexAlgorithm& kex, BytesView value) {
  if (is_modp(kex.group) && !value.empty() && (value.front() & 0x80) != 0) out.push_back(0);
  out.insert(out.end(), value.begin(), value.end());
}

// The peer's value for the agreement, out of the mpint of a modulus group.
Result<BytesView> read_public(const KexAlgorithm& kex, BytesView value) {
  if (!is_modp(kex.group)) return value;
  const bool negative = !value.empty() && (value[0] & 0x80) != 0;
  const bool padded = value.size() >= 2 && value[0] == 0 && (value[1] & 0x80) == 0;
  if (value.empty() || negative || padded) {
    return fail(ErrorCode::kProtocol, "Diffie-Hellman public value is not a positive number");
  }
  return value[0] == 0 ? value.subspan(1) : value;
}

struct HybridValue {
  BytesView kem;
  BytesView agreement;
};

// The part of the KEM has its fixed size; what is left is the agreement's to check.
Result<HybridValue> split(const KexAlgorithm& kex, BytesView value, std::size_t kem_bytes) {
  if (value.size() < kem_bytes) {
    return fail(ErrorCode::kProtocol, "public value of {} bytes is too short for {}", value.size(), kex.name);
  }
  MEZ_TRY(const BytesView agreement, read_public(kex, value.subspan(kem_bytes)));
  return HybridValue{.kem = value.first(kem_bytes), .agreement = agreement};
}

// The ciphertext goes to `out`.
Result<Secret> encapsulate(KexKem kem, BytesView public_key, Bytes& out) {
  const auto take = [&out](auto result) -> Result<Secret> {
    if (!result) return std::unexpected(std::move(result).error());
    out.insert(out.end(), result->ciphertext.begin(), result->ciphertext.end());
    return std::move(result->shared_secret);
  };
  return kem == KexKem::kMlKem768 ? take(mlkem768::encapsulate(public_key)) : take(sntrup761::encapsulate(public_key));
}

}  // namespace

Result<ServerKeyShare> ServerKeyShare::answer(const KexAlgorithm& kex, BytesView client_value) {
  MEZ_TRY(const auto theirs, split(kex, client_value, sizes_of(kex.kem).public_key));
  // The cheaper part first: most values that are to be refused never get to the other.
  MEZ_TRY(const auto agreement, crypto::KeyAgreement::generate(kex.group));
  MEZ_TRY(const auto agreed, agreement.agree(theirs.agreement));
  ServerKeyShare share;
  if (kex.kem == KexKem::kNone) {
    share.secret = to_mpint(agreed);
  } else {
    MEZ_TRY(const auto kem_secret, encapsulate(kex.kem, theirs.kem, share.public_value));
    share.secret = combine(kex.hash, kem_secret, agreed);
  }
  append_public(share.public_value, kex, agreement.public_value());
  return share;
}

Result<ClientKeyShare> ClientKeyShare::generate(const KexAlgorithm& kex) {
  MEZ_TRY(auto agreement, crypto::KeyAgreement::generate(kex.group));
  ClientKeyShare share(kex, std::move(agreement));
  const auto keep = [&share](auto pair) {
    share.public_value_ = to_bytes(BytesView(pair.public_key));
    share.kem_private_ = std::move(pair.private_key);
  };
  if (kex.kem == KexKem::kMlKem768) keep(mlkem768::generate());
  if (kex.kem == KexKem::kSntrup761) keep(sntrup761::generate());
  append_public(share.public_value_, kex, share.agreement_.public_value());
  return share;
}

Result<Secret> ClientKeyShare::finish(BytesView server_value) const {
  MEZ_TRY(const auto theirs, split(*kex_, server_value, sizes_of(kex_->kem).ciphertext));
  MEZ_TRY(const auto agreed, agreement_.agree(theirs.agreement));
  if (kex_->kem == KexKem::kNone) return to_mpint(agreed);
  MEZ_TRY(const auto kem_secret, kex_->kem == KexKem::kMlKem768
                                     ? mlkem768::decapsulate(kem_private_.view(), theirs.kem)
                                     : sntrup761::decapsulate(kem_private_.view(), theirs.kem));
  return combine(kex_->hash, kem_secret, agreed);
}

}  // namespace mezite::ssh
