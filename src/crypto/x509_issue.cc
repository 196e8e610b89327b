// Issuing: a self-signed root and leaves below it.
#include <arpa/inet.h>

#include <algorithm>
#include <array>

#include "base/text.hh"
#include "crypto/ecdsa_der.hh"
#include "crypto/ossl.hh"
#include "crypto/random.hh"
#include "crypto/signer.hh"
#include "crypto/x509.hh"

namespace mezite::crypto {
namespace {

Status openssl_failed(std::string_view doing) {
  return fail(ErrorCode::kInternal, "{}: {}", doing, ossl::take_error());
}

Status check_name(std::string_view name, std::size_t max_bytes) {
  if (name.size() <= max_bytes && is_valid_utf8(name) && printable(name) == name) return {};
  return fail(ErrorCode::kInvalidArgument, "'{}' is not fit for a certificate: over {} bytes or not printable",
              printable(name.substr(0, 128)), max_bytes);
}

Status set_name(X509_NAME* name, std::string_view organization, std::string_view common_name) {
  // RFC 5280 A.1: ub-common-name and ub-organization-name are 64.
  MEZ_CHECK(check_name(organization, 64));
  MEZ_CHECK(check_name(common_name, 64));
  if (common_name.empty()) return fail(ErrorCode::kInvalidArgument, "a certificate needs a common name");
  const auto add = [name](int nid, std::string_view text) {
    return X509_NAME_add_entry_by_NID(name, nid, MBSTRING_UTF8, as_bytes(text).data(), static_cast<int>(text.size()),
                                      -1, 0) == 1;
  };
  if ((!organization.empty() && !add(NID_organizationName, organization)) || !add(NID_commonName, common_name)) {
    return openssl_failed("setting a subject");
  }
  return {};
}

Status add_extension(X509* certificate, X509* issuer, int nid, const char* value) {
  X509V3_CTX context;
  X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  const ossl::X509ExtensionPtr extension(X509V3_EXT_conf_nid(nullptr, &context, nid, value));
  if (!extension || X509_add_ext(certificate, extension.get(), -1) != 1) return openssl_failed("adding an extension");
  return {};
}

Status set_basics(X509* certificate, SystemTime not_before, SystemTime not_after) {
  // 127 random bits and a one in front: positive, of one length, unpredictable (CA/Browser BR §7.1).
  Bytes serial = random_bytes(16);
  serial[0] = static_cast<std::uint8_t>((serial[0] & 0x7f) | 0x40);
  const ossl::Bignum number = ossl::bn_from(serial);
  const auto seconds = [](SystemTime time) { return static_cast<time_t>(to_unix_seconds(time)); };
  if (not_after <= not_before) return fail(ErrorCode::kInvalidArgument, "a certificate must end after it starts");
  if (X509_set_version(certificate, X509_VERSION_3) != 1 ||
      BN_to_ASN1_INTEGER(number.get(), X509_get_serialNumber(certificate)) == nullptr ||
      ASN1_TIME_set(X509_getm_notBefore(certificate), seconds(not_before)) == nullptr ||
      ASN1_TIME_set(X509_getm_notAfter(certificate), seconds(not_after)) == nullptr) {
    return openssl_failed("making a certificate");
  }
  return {};
}

// Tag, length and content (X.690 8.1).
void append_der(Bytes& out, std::uint8_t tag, BytesView content) {
  out.push_back(tag);
  if (content.size() < 0x80) {
    out.push_back(static_cast<std::uint8_t>(content.size()));
  } else {
    Bytes length;
    for (std::size_t left = content.size(); left > 0; left >>= 8) {
      length.insert(length.begin(), static_cast<std::uint8_t>(left));
    }
    out.push_back(static_cast<std::uint8_t>(0x80 | length.size()));
    out.insert(out.end(), length.begin(), length.end());
  }
  out.insert(out.end(), content.begin(), content.end());
}

// What i2d_… writes.
template <class Encode, class T>
Result<Bytes> der_of(Encode encode, T* object, std::string_view what) {
  unsigned char* encoded = nullptr;
  const int size = encode(object, &encoded);
  if (size <= 0) return std::unexpected(openssl_failed(what).error());
  Bytes out(encoded, encoded + size);
  OPENSSL_free(encoded);
  return out;
}

// How X.509 names and encodes what a key signs (RFC 8410, 5758, 4055).
struct SignatureScheme {
  int nid;
  int parameter_type;
  SignatureHash hash;
  bool is_ecdsa;
};
SignatureScheme scheme_of(KeyAlgorithm algorithm) {
  switch (algorithm) {
    case KeyAlgorithm::kEd25519: return {NID_ED25519, V_ASN1_UNDEF, SignatureHash::kNone, false};
    case KeyAlgorithm::kEcdsaP256: return {NID_ecdsa_with_SHA256, V_ASN1_UNDEF, SignatureHash::kSha256, true};
    case KeyAlgorithm::kEcdsaP384: return {NID_ecdsa_with_SHA384, V_ASN1_UNDEF, SignatureHash::kSha384, true};
    case KeyAlgorithm::kEcdsaP521: return {NID_ecdsa_with_SHA512, V_ASN1_UNDEF, SignatureHash::kSha512, true};
    case KeyAlgorithm::kRsa: break;
  }
  return {NID_sha256WithRSAEncryption, V_ASN1_NULL, SignatureHash::kSha256, false};
}

// OpenSSL signs only with keys that it has; a key elsewhere is given the encoded part to be signed.
Result<X509Certificate> sign(X509* certificate, const Signer& key) {
  const SignatureScheme scheme = scheme_of(key.public_key().algorithm());
  auto* inner = const_cast<X509_ALGOR*>(X509_get0_tbs_sigalg(certificate));
  if (X509_ALGOR_set0(inner, OBJ_nid2obj(scheme.nid), scheme.parameter_type, nullptr) != 1) {
    return std::unexpected(openssl_failed("signing a certificate").error());
  }
  MEZ_TRY(const Bytes tbs, der_of(i2d_re_X509_tbs, certificate, "encoding a certificate"));
  MEZ_TRY(const Bytes algorithm, der_of(i2d_X509_ALGOR, inner, "encoding a certificate"));
  MEZ_TRY(Bytes signature, key.sign(scheme.hash, tbs));
  if (scheme.is_ecdsa) {
    MEZ_TRY(signature, ecdsa_to_der(signature));
  }
  Bytes bits{0};  // unused bits
  bits.insert(bits.end(), signature.begin(), signature.end());
  Bytes content = tbs;
  content.insert(content.end(), algorithm.begin(), algorithm.end());
  append_der(content, V_ASN1_BIT_STRING, bits);
  Bytes whole;
  append_der(whole, V_ASN1_SEQUENCE | V_ASN1_CONSTRUCTED, content);
  return X509Certificate::from_der(whole);
}

// Wraps bytes as an alternative name of that type.
bool push_name(GENERAL_NAMES* names, int type, BytesView bytes) {
  ASN1_STRING* text = type == GEN_IPADD ? ASN1_OCTET_STRING_new() : ASN1_IA5STRING_new();
  GENERAL_NAME* name = GENERAL_NAME_new();
  if (text == nullptr || name == nullptr || ASN1_STRING_set(text, bytes.data(), static_cast<int>(bytes.size())) != 1) {
    ASN1_STRING_free(text);
    GENERAL_NAME_free(name);
    return false;
  }
  GENERAL_NAME_set0_value(name, type, text);
  if (sk_GENERAL_NAME_push(names, name) > 0) return true;
  GENERAL_NAME_free(name);
  return false;
}

Status check_dns_name(std::string_view name) {
  const auto legal = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '.' ||
           c == '_';
  };
  const std::string_view plain = name.starts_with("*.") ? name.substr(2) : name;
  const auto labels = split(plain, '.');
  const bool good =
      !plain.empty() && name.size() <= 253 && std::ranges::all_of(plain, legal) &&
      std::ranges::all_of(labels, [](std::string_view label) { return !label.empty() && label.size() <= 63; });
  if (good) return {};
  return fail(ErrorCode::kInvalidArgument, "'{}' is not a DNS name", printable(name.substr(0, 128)));
}

Status check_uri(std::string_view uri) {
  const auto ascii = [](char c) { return c > ' ' && c < '\x7f'; };
  if (uri.size() <= 2048 && uri.find(':') != std::string_view::npos && std::ranges::all_of(uri, ascii)) return {};
  return fail(ErrorCode::kInvalidArgument, "'{}' is not a URI", printable(uri.substr(0, 128)));
}

Status add_alternative_names(X509* certificate, const X509LeafSpec& spec) {
  const ossl::GeneralNames names(GENERAL_NAMES_new());
  bool ok = names != nullptr;
  for (const auto& name : spec.dns_names) {
    MEZ_CHECK(check_dns_name(name));
    ok = ok && push_name(names.get(), GEN_DNS, as_bytes(name));
  }
  for (const auto& text : spec.ip_addresses) {
    std::array<std::uint8_t, 16> bytes{};
    std::size_t size = 0;
    if (text.find('\0') == std::string::npos) {
      if (::inet_pton(AF_INET, text.c_str(), bytes.data()) == 1)
        size = 4;
      else if (::inet_pton(AF_INET6, text.c_str(), bytes.data()) == 1)
        size = 16;
    }
    if (size == 0) return fail(ErrorCode::kInvalidArgument, "'{}' is not an IP address", printable(text));
    ok = ok && push_name(names.get(), GEN_IPADD, BytesView(bytes).first(size));
  }
  for (const auto& uri : spec.uris) {
    MEZ_CHECK(check_uri(uri));
    ok = ok && push_name(names.get(), GEN_URI, as_bytes(uri));
  }
  if (ok && sk_GENERAL_NAME_num(names.get()) == 0) return {};
  if (!ok || X509_add1_ext_i2d(certificate, NID_subject_alt_name, names.get(), 0, X509V3_ADD_DEFAULT) != 1) {
    return openssl_failed("adding alternative names");
  }
  return {};
}

}  // namespace

Result<X509Certificate> make_x509_ca(const Signer& key, const X509CaSpec& spec) {
  ossl::X509Ptr certificate(X509_new());
  X509* raw = certificate.get();
  MEZ_CHECK(set_basics(raw, spec.not_before, spec.not_after));
  MEZ_CHECK(set_name(X509_get_subject_name(raw), spec.organization, spec.common_name));
  if (X509_set_issuer_name(raw, X509_get_subject_name(raw)) != 1 ||
      X509_set_pubkey(raw, key.public_key().handle()) != 1) {
    return std::unexpected(openssl_failed("making a certificate").error());
  }
  MEZ_CHECK(add_extension(raw, raw, NID_basic_constraints, "critical,CA:TRUE,pathlen:0"));
  MEZ_CHECK(add_extension(raw, raw, NID_key_usage, "critical,keyCertSign,cRLSign"));
  MEZ_CHECK(add_extension(raw, raw, NID_subject_key_identifier, "hash"));
  X509LeafSpec names;
  names.uris = spec.uris;
  MEZ_CHECK(add_alternative_names(raw, names));
  return sign(raw, key);
}

Result<X509Certificate> make_x509_ca(const SigningKey& key, const X509CaSpec& spec) {
  return make_x509_ca(SoftwareSigner(key), spec);
}

Result<X509Certificate> issue_x509_leaf(const X509Certificate& ca, const Signer& ca_key, BytesView subject_spki,
                                        const X509LeafSpec& spec) {
  MEZ_TRY(const auto subject_key, VerifyingKey::from_spki(subject_spki));
  MEZ_TRY(const auto issuer_key, ca.public_key());
  if (issuer_key.spki() != ca_key.public_key().spki()) {
    return fail(ErrorCode::kInvalidArgument, "the signing key is not the one of the CA certificate");
  }
  ossl::X509Ptr certificate(X509_new());
  X509* raw = certificate.get();
  MEZ_CHECK(set_basics(raw, spec.not_before, std::min(spec.not_after, ca.not_after())));
  MEZ_CHECK(set_name(X509_get_subject_name(raw), spec.organization, spec.common_name));
  if (X509_set_issuer_name(raw, X509_get_subject_name(ca.handle())) != 1 ||
      X509_set_pubkey(raw, subject_key.handle()) != 1) {
    return std::unexpected(openssl_failed("making a certificate").error());
  }
  MEZ_CHECK(add_extension(raw, ca.handle(), NID_basic_constraints, "critical,CA:FALSE"));
  MEZ_CHECK(add_extension(raw, ca.handle(), NID_key_usage, "critical,digitalSignature"));
  const char* usage = spec.usage == X509Usage::kServer   ? "serverAuth"
                      : spec.usage == X509Usage::kClient ? "clientAuth"
                                                         : "serverAuth,clientAuth";
  MEZ_CHECK(add_extension(raw, ca.handle(), NID_ext_key_usage, usage));
  MEZ_CHECK(add_extension(raw, ca.handle(), NID_subject_key_identifier, "hash"));
  MEZ_CHECK(add_extension(raw, ca.handle(), NID_authority_key_identifier, "keyid:always"));
  MEZ_CHECK(add_alternative_names(raw, spec));
  return sign(raw, ca_key);
}

Result<X509Certificate> issue_x509_leaf(const X509Certificate& ca, const SigningKey& ca_key, BytesView subject_spki,
                                        const X509LeafSpec& spec) {
  return issue_x509_leaf(ca, SoftwareSigner(ca_key), subject_spki, spec);
}

Result<X509Certificate> cross_sign_x509_ca(const X509Certificate& subject_ca, const X509Certificate& ca,
                                           const Signer& ca_key) {
  MEZ_TRY(const auto subject_key, subject_ca.public_key());
  MEZ_TRY(const auto issuer_key, ca.public_key());
  if (issuer_key.spki() != ca_key.public_key().spki()) {
    return fail(ErrorCode::kInvalidArgument, "the signing key is not the one of the CA certificate");
  }
  ossl::X509Ptr certificate(X509_new());
  X509* raw = certificate.get();
  MEZ_CHECK(set_basics(raw, std::max(subject_ca.not_before(), ca.not_before()),
                       std::min(subject_ca.not_after(), ca.not_after())));
  if (X509_set_subject_name(raw, X509_get_subject_name(subject_ca.handle())) != 1 ||
      X509_set_issuer_name(raw, X509_get_subject_name(ca.handle())) != 1 ||
      X509_set_pubkey(raw, subject_key.handle()) != 1) {
    return std::unexpected(openssl_failed("making a certificate").error());
  }
  // The names are equal: a path length does not count such a certificate (RFC 5280 §4.2.1.9), and its authority key
  // identifier is what tells it from a root.
  MEZ_CHECK(add_extension(raw, ca.handle(), NID_basic_constraints, "critical,CA:TRUE,pathlen:0"));
  MEZ_CHECK(add_extension(raw, ca.handle(), NID_key_usage, "critical,keyCertSign,cRLSign"));
  MEZ_CHECK(add_extension(raw, ca.handle(), NID_subject_key_identifier, "hash"));
  MEZ_CHECK(add_extension(raw, ca.handle(), NID_authority_key_identifier, "keyid:always"));
  return sign(raw, ca_key);
}

}  // namespace mezite::crypto
