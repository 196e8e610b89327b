// Keys that live in a FIDO authenticator (OpenSSH's PROTOCOL.u2f): what such a signature says beside the signature
// itself, and what is asked of it.
#pragma once

#include <cstdint>
#include <string_view>

#include "base/bytes.hh"

namespace mezite::ssh {

// Signed together with the message by the authenticator.
struct AuthenticatorData {
  static constexpr std::uint8_t kUserPresent = 0x01;   // it was touched
  static constexpr std::uint8_t kUserVerified = 0x04;  // by its owner: PIN or fingerprint
  std::uint8_t flags = 0;
  std::uint32_t counter = 0;  // of its signatures; many authenticators leave it at zero

  bool user_present() const { return (flags & kUserPresent) != 0; }
  bool user_verified() const { return (flags & kUserVerified) != 0; }
};

enum class UserPresence : std::uint8_t { kRequired, kNotRequired };
enum class UserVerification : std::uint8_t { kNotRequired, kRequired };

// The defaults are sshd's. Keys of other kinds are always fit: nothing is asked of them.
struct AuthenticatorRules {
  UserPresence presence = UserPresence::kRequired;
  UserVerification verification = UserVerification::kNotRequired;
};

// A certificate's words for these rules (OpenSSH's PROTOCOL.certkeys): an extension that lifts the first, a critical
// option that asks for the second. Both have an empty value.
inline constexpr std::string_view kNoTouchRequired = "no-touch-required";
inline constexpr std::string_view kVerifyRequired = "verify-required";

// SHA256(application) ‖ flags ‖ counter ‖ SHA256(message): what the authenticator signs.
Bytes authenticator_message(std::string_view application, const AuthenticatorData& data, BytesView message);

}  // namespace mezite::ssh
