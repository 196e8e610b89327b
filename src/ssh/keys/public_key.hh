// Plain SSH public keys (RFC 4253 §6.6, RFC 5656 §3.1, RFC 8332, RFC 8709; FIDO: OpenSSH's PROTOCOL.u2f).
#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "base/bytes.hh"
#include "base/result.hh"
#include "ssh/keys/algorithm.hh"
#include "ssh/keys/fido.hh"
#include "ssh/wire/reader.hh"
#include "ssh/wire/writer.hh"

namespace mezite::ssh {

// Immutable, cheap to copy, usable from any thread.
class PublicKey {
 public:
  // Longest blob that is looked at: RSA of 16384 bits and a little.
  static constexpr std::size_t kMaxWireBytes = 2200;
  static constexpr std::size_t kMaxApplicationBytes = 1024;

  // Takes plain keys only: a certificate is refused. Wrong lengths, points off the curve, RSA under 2048 or over 16384
  // bits and trailing bytes are kInvalidArgument. Costs under a millisecond whatever the input.
  static Result<PublicKey> from_wire(BytesView wire);
  // "ssh-ed25519 AAAA… comment"; leading options are not understood.
  static Result<PublicKey> from_text(std::string_view line);
  static Result<PublicKey> from_crypto(const crypto::VerifyingKey& key);

  const Bytes& wire() const { return data_->wire; }
  std::string to_text(std::string_view comment = {}) const;  // no newline
  std::string fingerprint() const;                           // "SHA256:…" as OpenSSH prints it
  KeyType type() const { return data_->type; }
  std::string_view name() const { return plain_key_name(type()); }
  std::span<const std::string_view> signature_algorithms() const { return ssh::signature_algorithms(type()); }
  // The bare key. For a FIDO key its signatures are over more than the message: use verify().
  const crypto::VerifyingKey& crypto_key() const { return data_->key; }
  // FIDO: what the key was made for, "ssh:" by default; empty otherwise.
  const std::string& application() const { return data_->application; }

  // signature: the SSH blob (string algorithm, string signature). The algorithm named inside must be the one given, and
  // one that this key may use: never ssh-rsa with SHA-1. A FIDO key's must meet the rules. kUnauthenticated otherwise.
  // Gives what the authenticator said, zeros for other keys.
  Result<AuthenticatorData> verify_with(const AuthenticatorRules& rules, std::string_view algorithm, BytesView message,
                                        BytesView signature) const;
  // The same by the default rules.
  Status verify(std::string_view algorithm, BytesView message, BytesView signature) const;

  bool operator==(const PublicKey& other) const { return wire() == other.wire(); }

  // The fields between the type name and the end, shared with certificates (PROTOCOL.certkeys): reads those of `type`
  // from where `in` stands, without asking for its end.
  static Result<PublicKey> read_fields(KeyType type, Reader& in);
  void write_fields(Writer& out) const;

 private:
  struct Data {
    Bytes wire;
    KeyType type;
    crypto::VerifyingKey key;
    std::string application;
  };
  struct Fields;
  static Result<Fields> parse_fields(KeyType type, Reader& in);

  explicit PublicKey(std::shared_ptr<const Data> data) : data_(std::move(data)) {}
  std::shared_ptr<const Data> data_;
};

// The comment of a line in OpenSSH's public key format; "" when there is none.
std::string_view public_key_comment(std::string_view line);

}  // namespace mezite::ssh
