#include "ssh/keys/signature.hh"

#include <algorithm>

#include "ssh/wire/reader.hh"
#include "ssh/wire/writer.hh"

namespace mezite::ssh {
namespace {

std::size_t curve_bytes(crypto::KeyAlgorithm algorithm) {
  switch (algorithm) {
    case crypto::KeyAlgorithm::kEcdsaP256: return 32;
    case crypto::KeyAlgorithm::kEcdsaP384: return 48;
    case crypto::KeyAlgorithm::kEcdsaP521: return 66;
    case crypto::KeyAlgorithm::kEd25519:
    case crypto::KeyAlgorithm::kRsa: break;
  }
  return 0;
}

// The signature's own string as crypto/ takes it.
Result<Bytes> to_raw(const crypto::VerifyingKey& key, BytesView signature) {
  if (const std::size_t width = curve_bytes(key.algorithm()); width != 0) {
    Reader pair(signature);
    const BytesView r = pair.mpint();
    const BytesView s = pair.mpint();
    if (!pair.at_end() || r.size() > width || s.size() > width) {
      return fail(ErrorCode::kUnauthenticated, "malformed signature");
    }
    Bytes raw(2 * width);
    std::ranges::copy(r, raw.begin() + static_cast<std::ptrdiff_t>(width - r.size()));
    std::ranges::copy(s, raw.begin() + static_cast<std::ptrdiff_t>(2 * width - s.size()));
    return raw;
  }
  if (key.algorithm() == crypto::KeyAlgorithm::kRsa) {
    // RFC 8332 §3: as wide as the modulus; PuTTY and others leave out leading zeros, as OpenSSH tolerates.
    const auto width = static_cast<std::size_t>((key.bits() + 7) / 8);
    if (signature.size() > width) return fail(ErrorCode::kUnauthenticated, "malformed signature");
    Bytes raw(width);
    std::ranges::copy(signature, raw.begin() + static_cast<std::ptrdiff_t>(width - signature.size()));
    return raw;
  }
  return to_bytes(signature);
}

}  // namespace

std::optional<crypto::SignatureHash> signature_hash(KeyType type, std::string_view algorithm) {
  using crypto::SignatureHash;
  if (const auto names = signature_algorithms(type); std::ranges::find(names, algorithm) == names.end())
    return std::nullopt;
  switch (crypto_algorithm(type)) {
    case crypto::KeyAlgorithm::kEd25519: return SignatureHash::kNone;
    case crypto::KeyAlgorithm::kEcdsaP256: return SignatureHash::kSha256;  // RFC 5656 §6.2.1
    case crypto::KeyAlgorithm::kEcdsaP384: return SignatureHash::kSha384;
    case crypto::KeyAlgorithm::kEcdsaP521: return SignatureHash::kSha512;
    case crypto::KeyAlgorithm::kRsa:
      return algorithm == "rsa-sha2-512" ? SignatureHash::kSha512 : SignatureHash::kSha256;
  }
  return std::nullopt;
}

Bytes wrap_signature(crypto::KeyAlgorithm key, std::string_view algorithm, BytesView raw) {
  Bytes out;
  Writer writer(out);
  writer.string(algorithm);
  if (const std::size_t width = curve_bytes(key); width != 0) {  // RFC 5656 §3.1.2: mpint r, mpint s
    Bytes pair;
    Writer(pair).mpint(raw.first(width)).mpint(raw.last(width));
    writer.string(pair);
  } else {
    writer.string(raw);
  }
  return out;
}

Result<RawSignature> unwrap_signature(KeyType type, const crypto::VerifyingKey& key, std::string_view algorithm,
                                      BytesView blob) {
  Reader in(blob);
  const std::string_view name = in.text();
  const BytesView signature = in.string();
  RawSignature out;
  if (is_fido(type)) {
    out.authenticator.flags = in.byte();
    out.authenticator.counter = in.u32();
  }
  if (!in.at_end()) return fail(ErrorCode::kUnauthenticated, "malformed signature");
  if (name != algorithm) return fail(ErrorCode::kUnauthenticated, "signature is not one of {}", algorithm);
  MEZ_TRY(out.bytes, to_raw(key, signature));
  return out;
}

}  // namespace mezite::ssh
