#include "ssh/keys/public_key.hh"

#include <optional>

#include "base/text.hh"
#include "crypto/hash.hh"
#include "ssh/keys/signature.hh"

namespace mezite::ssh {
namespace {

std::optional<KeyType> plain_type(std::string_view name) {
  for (const auto& algorithm : public_key_algorithms()) {
    if (algorithm.form == KeyForm::kPlain && algorithm.key_name == name) return algorithm.type;
  }
  return std::nullopt;
}

std::string_view curve_name(crypto::KeyAlgorithm algorithm) {
  switch (algorithm) {
    case crypto::KeyAlgorithm::kEcdsaP256: return "nistp256";
    case crypto::KeyAlgorithm::kEcdsaP384: return "nistp384";
    case crypto::KeyAlgorithm::kEcdsaP521: return "nistp521";
    case crypto::KeyAlgorithm::kEd25519:
    case crypto::KeyAlgorithm::kRsa: break;
  }
  return {};
}

Result<crypto::VerifyingKey> read_key(KeyType type, Reader& in) {
  const auto short_input = [] { return fail(ErrorCode::kInvalidArgument, "malformed public key"); };
  const auto algorithm = crypto_algorithm(type);
  switch (algorithm) {
    case crypto::KeyAlgorithm::kEd25519: {
      const BytesView raw = in.string();
      if (in.failed()) return short_input();
      return crypto::VerifyingKey::ed25519(raw);
    }
    case crypto::KeyAlgorithm::kRsa: {
      const BytesView exponent = in.mpint();
      const BytesView modulus = in.mpint();
      if (in.failed()) return short_input();
      if (modulus.size() > crypto::kMaxRsaBits / 8 || exponent.size() > 8) {
        return fail(ErrorCode::kInvalidArgument, "RSA key with enormous numbers");
      }
      return crypto::VerifyingKey::rsa({to_bytes(modulus), to_bytes(exponent)});
    }
    case crypto::KeyAlgorithm::kEcdsaP256:
    case crypto::KeyAlgorithm::kEcdsaP384:
    case crypto::KeyAlgorithm::kEcdsaP521: {
      const std::string_view curve = in.text();
      const BytesView point = in.string();
      if (in.failed() || curve != curve_name(algorithm)) return short_input();
      return crypto::VerifyingKey::ecdsa(algorithm, point);
    }
  }
  return short_input();
}

void write_key(const crypto::VerifyingKey& key, Writer& out) {
  if (key.algorithm() == crypto::KeyAlgorithm::kRsa) {
    const auto numbers = key.rsa_numbers();
    out.mpint(numbers.exponent).mpint(numbers.modulus);
    return;
  }
  if (key.algorithm() != crypto::KeyAlgorithm::kEd25519) out.string(curve_name(key.algorithm()));
  out.string(key.raw());
}

// Splits "type base64 comment" at its first two runs of blanks.
struct Line {
  std::string_view type, base64, comment;
};
Line split_line(std::string_view text) {
  Line line;
  text = trim(text);
  const std::size_t type_end = std::min(text.find_first_of(" \t"), text.size());
  line.type = text.substr(0, type_end);
  text = trim(text.substr(type_end));
  const std::size_t base64_end = std::min(text.find_first_of(" \t"), text.size());
  line.base64 = text.substr(0, base64_end);
  line.comment = trim(text.substr(base64_end));
  return line;
}

}  // namespace

struct PublicKey::Fields {
  crypto::VerifyingKey key;
  std::string application;
};

Result<PublicKey::Fields> PublicKey::parse_fields(KeyType type, Reader& in) {
  MEZ_TRY(auto key, read_key(type, in));
  if (!is_fido(type)) return Fields{std::move(key), {}};
  const std::string_view application = in.text();
  if (in.failed() || application.size() > kMaxApplicationBytes) {
    return fail(ErrorCode::kInvalidArgument, "malformed public key");
  }
  return Fields{std::move(key), std::string(application)};
}

Result<PublicKey> PublicKey::from_wire(BytesView wire) {
  if (wire.size() > kMaxWireBytes) return fail(ErrorCode::kInvalidArgument, "public key of {} bytes", wire.size());
  Reader in(wire);
  const std::string_view name = in.text();
  if (in.failed()) return fail(ErrorCode::kInvalidArgument, "malformed public key");
  const auto type = plain_type(name);
  if (!type) {
    return fail(ErrorCode::kInvalidArgument, "unsupported public key type '{}'", printable(name.substr(0, 64)));
  }
  MEZ_TRY(auto fields, parse_fields(*type, in));
  if (!in.at_end()) return fail(ErrorCode::kInvalidArgument, "public key has trailing bytes");
  return PublicKey(
      std::make_shared<const Data>(Data{to_bytes(wire), *type, std::move(fields.key), std::move(fields.application)}));
}

Result<PublicKey> PublicKey::from_text(std::string_view text) {
  const Line line = split_line(text);
  if (line.base64.size() > 2 * kMaxWireBytes) return fail(ErrorCode::kInvalidArgument, "public key line is too long");
  auto wire = from_base64(line.base64);
  if (!wire || wire->empty()) {
    return fail(ErrorCode::kInvalidArgument, "not a public key line; expected e.g. 'ssh-ed25519 AAAA… comment'");
  }
  MEZ_TRY(auto key, from_wire(*wire));
  if (key.name() != line.type) {
    return fail(ErrorCode::kInvalidArgument, "public key line says {} and holds {}", printable(line.type.substr(0, 64)),
                key.name());
  }
  return key;
}

Result<PublicKey> PublicKey::from_crypto(const crypto::VerifyingKey& key) {
  const KeyType type = key_type(key.algorithm());
  Bytes wire;
  Writer out(wire);
  out.string(plain_key_name(type));
  write_key(key, out);
  return PublicKey(std::make_shared<const Data>(Data{std::move(wire), type, key, {}}));
}

std::string PublicKey::to_text(std::string_view comment) const {
  std::string text = fmt::format("{} {}", name(), to_base64(wire()));
  if (!comment.empty()) text.append(" ").append(comment);
  return text;
}

std::string PublicKey::fingerprint() const { return "SHA256:" + to_base64_unpadded(crypto::sha256(wire())); }

Result<AuthenticatorData> PublicKey::verify_with(const AuthenticatorRules& rules, std::string_view algorithm,
                                                 BytesView message, BytesView signature) const {
  const auto hash = signature_hash(type(), algorithm);
  if (!hash) {
    return fail(ErrorCode::kUnauthenticated, "a {} key does not sign with '{}'", name(),
                printable(algorithm.substr(0, 64)));
  }
  MEZ_TRY(const RawSignature raw, unwrap_signature(type(), data_->key, algorithm, signature));
  if (!is_fido(type())) {
    MEZ_CHECK(data_->key.verify(*hash, message, raw.bytes));
    return raw.authenticator;
  }
  const Bytes signed_message = authenticator_message(application(), raw.authenticator, message);
  MEZ_CHECK(data_->key.verify(*hash, signed_message, raw.bytes));
  if (rules.presence == UserPresence::kRequired && !raw.authenticator.user_present()) {
    return fail(ErrorCode::kUnauthenticated, "the security key was not touched");
  }
  if (rules.verification == UserVerification::kRequired && !raw.authenticator.user_verified()) {
    return fail(ErrorCode::kUnauthenticated, "the security key did not verify its user (PIN or fingerprint)");
  }
  return raw.authenticator;
}

Status PublicKey::verify(std::string_view algorithm, BytesView message, BytesView signature) const {
  MEZ_CHECK(verify_with({}, algorithm, message, signature));
  return {};
}

Result<PublicKey> PublicKey::read_fields(KeyType type, Reader& in) {
  Reader fields_only = in;
  MEZ_TRY(auto fields, parse_fields(type, in));
  Bytes wire;
  Writer(wire).string(plain_key_name(type)).raw(fields_only.take(fields_only.remaining() - in.remaining()));
  if (wire.size() > kMaxWireBytes) return fail(ErrorCode::kInvalidArgument, "public key of {} bytes", wire.size());
  return PublicKey(
      std::make_shared<const Data>(Data{std::move(wire), type, std::move(fields.key), std::move(fields.application)}));
}

void PublicKey::write_fields(Writer& out) const {
  Reader in(wire());
  in.string();  // the name
  out.raw(in.rest());
}

std::string_view public_key_comment(std::string_view line) { return split_line(line).comment; }

}  // namespace mezite::ssh
