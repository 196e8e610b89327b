#include "ssh/keys/fido.hh"

#include "crypto/hash.hh"
#include "ssh/wire/writer.hh"

namespace mezite::ssh {

Bytes authenticator_message(std::string_view application, const AuthenticatorData& data, BytesView message) {
  Bytes out;
  Writer(out)
      .raw(crypto::sha256(as_bytes(application)))
      .byte(data.flags)
      .u32(data.counter)
      .raw(crypto::sha256(message));
  return out;
}

}  // namespace mezite::ssh
