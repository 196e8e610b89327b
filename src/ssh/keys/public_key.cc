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

std::string_view curve_name(KeyType type) {
  switch (type) {
    case KeyType::kEcdsaP256: return "nistp256";
    case KeyType::kEcdsaP384: return "nistp384";
    case KeyType::kEcdsaP521: return "nistp521";
    case KeyType::kEd25519:
    case KeyType::kRsa: break;
  }
  return {};
}

Result<crypto::VerifyingKey> read_key(KeyType type, Reader& in) {
  const auto short_input = [] { return fail(ErrorCode::kInvalidArgument, "malformed public key"); };
  switch (type) {
    case KeyType::kEd25519: {
      const BytesView raw = in.string();
      if (in.failed()) return short_input();
      return crypto::VerifyingKey::ed25519(raw);
    }
    case KeyType::kRsa: {
      const BytesView exponent = in.mpint();
      const BytesView modulus = in.mpint();
      if (in.failed()) return short_input();
      if (modulus.size() > crypto::kMaxRsaBits / 8 || exponent.size() > 8) {
        return fail(ErrorCode::kInvalidArgument, "RSA key with enormous numbers");
      }
      return crypto::VerifyingKey::rsa({to_bytes(modulus), to_bytes(exponent)});
    }
    case KeyType::kEcdsaP256:
    case KeyType::kEcdsaP384:
    case KeyType::kEcdsaP521: {
      const std::string_view curve = in.text();
      const BytesView point = in.string();
      if (in.failed() || curve != curve_name(type)) return short_input();
      return crypto::VerifyingKey::ecdsa(type, point);
    }
  }
  return short_input();
}

void write_key(const crypto::VerifyingKey& key, Writer& out) {
  if (key.algorithm() == KeyType::kRsa) {
    const auto numbers = key.rsa_numbers();
    out.mpint(numbers.exponent).mpint(numbers.modulus);
    return;
  }
  if (key.algorithm() != KeyType::kEd25519) out.string(curve_name(key.algorithm()));
  out.string(key.raw());
}

Bytes wire_of(const crypto::VerifyingKey& key) {
  Bytes wire;
  Writer out(wire);
  out.string(plain_key_name(key.algorithm()));
  write_key(key, out);
  return wire;
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

Result<PublicKey> PublicKey::from_wire(BytesView wire) {
  if (wire.size() > kMaxWireBytes) return fail(ErrorCode::kInvalidArgument, "public key of {} bytes", wire.size());
  Reader in(wire);
  const std::string_view name = in.text();
  if (in.failed()) return fail(ErrorCode::kInvalidArgument, "malformed public key");
  const auto type = plain_type(name);
  if (!type) {
    return fail(ErrorCode::kInvalidArgument, "unsupported public key type '{}'", printable(name.substr(0, 64)));
  }
  MEZ_TRY(auto key, read_key(*type, in));
  if (!in.at_end()) return fail(ErrorCode::kInvalidArgument, "public key has trailing bytes");
  return PublicKey(std::make_shared<const Data>(Data{to_bytes(wire), std::move(key)}));
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
  return PublicKey(std::make_shared<const Data>(Data{wire_of(key), key}));
}

std::string PublicKey::to_text(std::string_view comment) const {
  std::string text = fmt::format("{} {}", name(), to_base64(wire()));
  if (!comment.empty()) text.append(" ").append(comment);
  return text;
}

std::string PublicKey::fingerprint() const { return "SHA256:" + to_base64_unpadded(crypto::sha256(wire())); }

Status PublicKey::verify(std::string_view algorithm, BytesView message, BytesView signature) const {
  const auto hash = signature_hash(type(), algorithm);
  if (!hash) {
    return fail(ErrorCode::kUnauthenticated, "a {} key does not sign with '{}'", name(),
                printable(algorithm.substr(0, 64)));
  }
  MEZ_TRY(const Bytes raw, unwrap_signature(data_->key, algorithm, signature));
  return data_->key.verify(*hash, message, raw);
}

Result<PublicKey> PublicKey::read_fields(KeyType type, Reader& in) {
  MEZ_TRY(auto key, read_key(type, in));
  return from_crypto(key);
}

void PublicKey::write_fields(Writer& out) const { write_key(data_->key, out); }

std::string_view public_key_comment(std::string_view line) { return split_line(line).comment; }

}  // namespace mezite::ssh
