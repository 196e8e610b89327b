#include "crypto/ecdsa_der.hh"

#include "crypto/ossl.hh"

namespace mezite::crypto {

Result<Bytes> ecdsa_to_der(BytesView raw) {
  const ossl::EcdsaSig signature(ECDSA_SIG_new());
  ossl::Bignum r = ossl::bn_from(raw.first(raw.size() / 2));
  ossl::Bignum s = ossl::bn_from(raw.subspan(raw.size() / 2));
  if (!signature || ECDSA_SIG_set0(signature.get(), r.get(), s.get()) != 1) {
    return fail(ErrorCode::kInternal, "encoding a signature: {}", ossl::take_error());
  }
  (void)r.release();  // the signature's now
  (void)s.release();
  const int size = i2d_ECDSA_SIG(signature.get(), nullptr);
  if (size <= 0) return fail(ErrorCode::kInternal, "encoding a signature: {}", ossl::take_error());
  Bytes out(static_cast<std::size_t>(size));
  unsigned char* end = out.data();
  i2d_ECDSA_SIG(signature.get(), &end);
  return out;
}

Result<Bytes> ecdsa_from_der(BytesView der, std::size_t width_bytes) {
  const auto malformed = [] {
    ERR_clear_error();
    return fail(ErrorCode::kProtocol, "not an ECDSA signature");
  };
  if (der.size() > 2 * width_bytes + 16) return malformed();
  const unsigned char* next = der.data();
  const ossl::EcdsaSig signature(d2i_ECDSA_SIG(nullptr, &next, static_cast<long>(der.size())));
  if (!signature || next != der.data() + der.size()) return malformed();
  Bytes out(2 * width_bytes);
  const int width = static_cast<int>(width_bytes);
  const BIGNUM* r = ECDSA_SIG_get0_r(signature.get());
  const BIGNUM* s = ECDSA_SIG_get0_s(signature.get());
  if (BN_is_negative(r) || BN_is_negative(s) || BN_bn2binpad(r, out.data(), width) != width ||
      BN_bn2binpad(s, out.data() + width_bytes, width) != width) {
    return malformed();
  }
  return out;
}

}  // namespace mezite::crypto
