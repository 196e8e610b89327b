// ECDSA signatures as DER (X.509, KMS) and as r ‖ s (everything here).
#pragma once

#include "base/bytes.hh"
#include "base/result.hh"

namespace mezite::crypto {

Result<Bytes> ecdsa_to_der(BytesView raw);
// width_bytes: of the curve's order, 32 for P-256. kProtocol for anything but one DER signature with fitting numbers.
Result<Bytes> ecdsa_from_der(BytesView der, std::size_t width_bytes);

}  // namespace mezite::crypto
