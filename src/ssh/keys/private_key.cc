#include "ssh/keys/private_key.hh"

#include "base/text.hh"
#include "crypto/random.hh"
#include "ssh/keys/signature.hh"
#include "ssh/wire/reader.hh"

namespace mezite::ssh {
namespace {

constexpr std::string_view kMagic{"openssh-key-v1\0", 15};
constexpr std::string_view kBegin = "-----BEGIN OPENSSH PRIVATE KEY-----";
constexpr std::string_view kEnd = "-----END OPENSSH PRIVATE KEY-----";

// RFC 4251 data types into memory that wipes itself: Writer's buffer would leave copies behind as it grows.
class SecretWriter {
 public:
  void u32(std::uint32_t value) {
    const std::uint8_t bytes[4] = {static_cast<std::uint8_t>(value >> 24), static_cast<std::uint8_t>(value >> 16),
                                   static_cast<std::uint8_t>(value >> 8), static_cast<std::uint8_t>(value)};
    out.append(bytes);
  }
  void string(BytesView bytes) {
    u32(static_cast<std::uint32_t>(bytes.size()));
    out.append(bytes);
  }
  void string(std::string_view text) { string(as_bytes(text)); }
  void mpint(BytesView magnitude) {
    while (!magnitude.empty() && magnitude[0] == 0) magnitude = magnitude.subspan(1);
    const bool sign_byte = !magnitude.empty() && (magnitude[0] & 0x80) != 0;
    u32(static_cast<std::uint32_t>(magnitude.size() + (sign_byte ? 1 : 0)));
    if (sign_byte) out.append(Bytes{0});
    out.append(magnitude);
  }

  Secret out;
};

// base64 of a secret without a std::string in between.
void append_base64(Secret& out, BytesView bytes) {
  constexpr std::string_view kAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::size_t column = 0;
  const auto put = [&](char c) {
    out.append(as_bytes({&c, 1}));
    if (++column % 70 == 0) out.append(as_bytes("\n"));
  };
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    const std::size_t left = std::min<std::size_t>(3, bytes.size() - i);
    std::uint32_t group = std::uint32_t{bytes[i]} << 16;
    if (left > 1) group |= std::uint32_t{bytes[i + 1]} << 8;
    if (left > 2) group |= bytes[i + 2];
    put(kAlphabet[group >> 18]);
    put(kAlphabet[group >> 12 & 63]);
    put(left > 1 ? kAlphabet[group >> 6 & 63] : '=');
    put(left > 2 ? kAlphabet[group & 63] : '=');
  }
  if (column % 70 != 0) out.append(as_bytes("\n"));
}

Result<Secret> decode_base64(std::string_view text) {
  Secret out(text.size());
  std::size_t size = 0;
  std::uint32_t group = 0;
  int count = 0;
  for (const char c : text) {
    std::uint32_t value = 0;
    if (c >= 'A' && c <= 'Z')
      value = static_cast<std::uint32_t>(c - 'A');
    else if (c >= 'a' && c <= 'z')
      value = static_cast<std::uint32_t>(c - 'a' + 26);
    else if (c >= '0' && c <= '9')
      value = static_cast<std::uint32_t>(c - '0' + 52);
    else if (c == '+')
      value = 62;
    else if (c == '/')
      value = 63;
    else if (c == '=' || c == '\n' || c == '\r' || c == ' ' || c == '\t')
      continue;
    else
      return fail(ErrorCode::kInvalidArgument, "private key file is damaged");
    group = group << 6 | value;
    if (++count % 4 == 0) {
      for (const int shift : {16, 8, 0}) out.data()[size++] = static_cast<std::uint8_t>(group >> shift);
      group = 0;
    }
  }
  if (count % 4 == 3) {
    out.data()[size++] = static_cast<std::uint8_t>(group >> 10);
    out.data()[size++] = static_cast<std::uint8_t>(group >> 2);
  } else if (count % 4 == 2) {
    out.data()[size++] = static_cast<std::uint8_t>(group >> 4);
  }
  out.resize(size);
  return out;
}

Result<crypto::SigningKey> read_private_fields(Reader& in) {
  const std::string_view name = in.text();
  if (name == "ssh-ed25519") {
    const BytesView public_raw = in.string();
    const BytesView both = in.string();  // seed ‖ public key
    if (in.failed() || both.size() != 64) return fail(ErrorCode::kInvalidArgument, "malformed Ed25519 private key");
    MEZ_TRY(auto key, crypto::SigningKey::from_ed25519_seed(both.first(32)));
    if (!equal_constant_time(key.public_key().raw(), public_raw)) {
      return fail(ErrorCode::kInvalidArgument, "Ed25519 private key does not belong to its public key");
    }
    return key;
  }
  if (name == "ssh-rsa") {
    const BytesView n = in.mpint(), e = in.mpint(), d = in.mpint(), iqmp = in.mpint(), p = in.mpint(), q = in.mpint();
    if (in.failed()) return fail(ErrorCode::kInvalidArgument, "malformed RSA private key");
    return crypto::SigningKey::from_rsa({to_bytes(n), to_bytes(e)}, {Secret(d), Secret(p), Secret(q), Secret(iqmp)});
  }
  for (const KeyType type : {KeyType::kEcdsaP256, KeyType::kEcdsaP384, KeyType::kEcdsaP521}) {
    if (name != plain_key_name(type)) continue;
    in.string();  // curve, which the name has fixed
    const BytesView point = in.string();
    const BytesView scalar = in.mpint();
    if (in.failed()) return fail(ErrorCode::kInvalidArgument, "malformed ECDSA private key");
    return crypto::SigningKey::from_ecdsa(crypto_algorithm(type), point, scalar);
  }
  return fail(ErrorCode::kInvalidArgument, "unsupported private key type '{}'", printable(name.substr(0, 64)));
}

// OpenSSH's PROTOCOL.key.
Result<crypto::SigningKey> read_openssh(std::string_view pem) {
  const std::size_t begin = pem.find(kBegin) + kBegin.size();
  const std::size_t end = pem.find(kEnd, begin);
  if (end == std::string_view::npos) return fail(ErrorCode::kInvalidArgument, "private key file has no end line");
  MEZ_TRY(const Secret blob, decode_base64(pem.substr(begin, end - begin)));
  Reader in(blob.view());
  const bool magic = as_text(in.take(kMagic.size())) == kMagic;
  const std::string_view cipher = in.text();
  const std::string_view kdf = in.text();
  in.string();  // options of the key derivation
  const std::uint32_t count = in.u32();
  const BytesView public_blob = in.string();
  const BytesView private_part = in.string();
  if (!magic || !in.at_end() || count != 1) return fail(ErrorCode::kInvalidArgument, "malformed OpenSSH private key");
  if (cipher != "none" || kdf != "none") {
    return fail(ErrorCode::kFailedPrecondition,
                "the private key is encrypted; remove its passphrase with 'ssh-keygen -p' or use ssh-agent");
  }
  Reader keys(private_part);
  const std::uint32_t check = keys.u32();
  if (check != keys.u32()) return fail(ErrorCode::kInvalidArgument, "malformed OpenSSH private key");
  MEZ_TRY(auto key, read_private_fields(keys));
  keys.string();  // comment
  const BytesView padding = keys.rest();
  bool good_padding = !keys.failed() && padding.size() < 256;
  for (std::size_t i = 0; good_padding && i < padding.size(); ++i) good_padding = padding[i] == i + 1;
  MEZ_TRY(const auto public_key, PublicKey::from_crypto(key.public_key()));
  if (!good_padding || !equal_constant_time(public_key.wire(), public_blob)) {
    return fail(ErrorCode::kInvalidArgument, "malformed OpenSSH private key");
  }
  return key;
}

}  // namespace

Result<PrivateKey> PrivateKey::generate(KeyType type, int rsa_bits) {
  if (is_fido(type)) {
    return fail(ErrorCode::kInvalidArgument, "a security key makes its own keys; use 'ssh-keygen -t ed25519-sk'");
  }
  MEZ_TRY(auto key, crypto::SigningKey::generate(crypto_algorithm(type), rsa_bits));
  return from_crypto(std::move(key));
}

Result<PrivateKey> PrivateKey::from_crypto(crypto::SigningKey key) {
  MEZ_TRY(auto public_key, PublicKey::from_crypto(key.public_key()));
  return PrivateKey(std::move(key), std::move(public_key));
}

Result<PrivateKey> PrivateKey::from_pkcs8(BytesView der) {
  MEZ_TRY(auto key, crypto::SigningKey::from_pkcs8(der));
  return from_crypto(std::move(key));
}

Result<PrivateKey> PrivateKey::from_pem(std::string_view pem) {
  if (pem.size() > 65536) return fail(ErrorCode::kInvalidArgument, "private key file of {} bytes", pem.size());
  auto key = pem.find(kBegin) != std::string_view::npos ? read_openssh(pem) : crypto::SigningKey::from_pem(pem);
  if (!key) return std::unexpected(std::move(key).error());
  return from_crypto(std::move(*key));
}

Result<Secret> PrivateKey::private_fields() const {
  SecretWriter writer;
  writer.string(public_.name());
  const crypto::VerifyingKey& public_half = key_.public_key();
  switch (key_.algorithm()) {
    case crypto::KeyAlgorithm::kEd25519: {
      MEZ_TRY(Secret both, key_.private_raw());
      const Bytes raw = public_half.raw();
      both.append(raw);
      writer.string(raw);
      writer.string(both.view());
      break;
    }
    case crypto::KeyAlgorithm::kRsa: {
      MEZ_TRY(const auto numbers, key_.rsa_private_numbers());
      const auto public_numbers = public_half.rsa_numbers();
      writer.mpint(public_numbers.modulus);
      writer.mpint(public_numbers.exponent);
      for (const Secret* number : {&numbers.d, &numbers.iqmp, &numbers.p, &numbers.q}) writer.mpint(number->view());
      break;
    }
    case crypto::KeyAlgorithm::kEcdsaP256:
    case crypto::KeyAlgorithm::kEcdsaP384:
    case crypto::KeyAlgorithm::kEcdsaP521: {
      MEZ_TRY(const Secret scalar, key_.private_raw());
      Bytes fields;  // public ones: curve name and point
      Writer out(fields);
      public_.write_fields(out);
      writer.out.append(fields);
      writer.mpint(scalar.view());
      break;
    }
  }
  return std::move(writer.out);
}

Result<Secret> PrivateKey::to_openssh_pem(std::string_view comment) const {
  MEZ_TRY(const Secret fields, private_fields());
  SecretWriter inner;
  const auto check = static_cast<std::uint32_t>(crypto::random_u64());
  inner.u32(check);
  inner.u32(check);
  inner.out.append(fields.view());
  inner.string(comment);
  for (std::uint8_t pad = 1; inner.out.size() % 8 != 0; ++pad) inner.out.append(Bytes{pad});

  SecretWriter blob;
  blob.out.append(as_bytes(kMagic));
  blob.string("none");
  blob.string("none");
  blob.string("");
  blob.u32(1);
  blob.string(public_.wire());
  blob.string(inner.out.view());

  Secret pem(kBegin);
  pem.append(as_bytes("\n"));
  append_base64(pem, blob.out.view());
  pem.append(as_bytes(kEnd));
  pem.append(as_bytes("\n"));
  return pem;
}

Result<Bytes> PrivateKey::sign(std::string_view algorithm, BytesView message) const {
  const auto hash = signature_hash(public_.type(), algorithm);
  if (!hash) {
    return fail(ErrorCode::kInvalidArgument, "a {} key does not sign with '{}'", public_.name(), algorithm);
  }
  MEZ_TRY(const Bytes raw, key_.sign(*hash, message));
  return wrap_signature(key_.algorithm(), algorithm, raw);
}

}  // namespace mezite::ssh
