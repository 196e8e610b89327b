#include "crypto/x509.hh"

#include <arpa/inet.h>
#include <openssl/pem.h>

#include <algorithm>
#include <array>
#include <climits>
#include <ctime>

#include "base/text.hh"
#include "crypto/hash.hh"
#include "crypto/ossl.hh"
#include "crypto/x509_verify.hh"

namespace mezite::crypto {
namespace {

SystemTime to_time(const ASN1_TIME* time) {
  std::tm parts{};
  if (time == nullptr || ASN1_TIME_to_tm(time, &parts) != 1) return from_unix_seconds(0);
  return from_unix_seconds(::timegm(&parts));
}

std::string name_text(const X509_NAME* name) {
  const ossl::Bio bio(BIO_new(BIO_s_mem()));
  // RFC 2253's escaping, in the order of the certificate, with blanks after the commas.
  X509_NAME_print_ex(bio.get(), name, 0, (XN_FLAG_ONELINE & ~ASN1_STRFLGS_ESC_MSB) | XN_FLAG_SEP_CPLUS_SPC);
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio.get(), &data);
  return printable(std::string_view(data, static_cast<std::size_t>(std::max(0L, size))));
}

template <class Take>
void for_each_name(X509* certificate, int type, Take take) {
  const ossl::GeneralNames names(
      static_cast<GENERAL_NAMES*>(X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr)));
  if (!names) {
    ERR_clear_error();
    return;
  }
  for (int i = 0; i < sk_GENERAL_NAME_num(names.get()); ++i) {
    const GENERAL_NAME* name = sk_GENERAL_NAME_value(names.get(), i);
    if (name->type != type) continue;
    const ASN1_STRING* text = type == GEN_DNS   ? name->d.dNSName
                              : type == GEN_URI ? name->d.uniformResourceIdentifier
                                                : name->d.iPAddress;
    take(BytesView(ASN1_STRING_get0_data(text), static_cast<std::size_t>(ASN1_STRING_length(text))));
  }
}

std::vector<std::string> text_names(X509* certificate, int type) {
  std::vector<std::string> out;
  for_each_name(certificate, type, [&out](BytesView bytes) {
    // A NUL in a name ends it for some who read it and not for others (Kaminsky and Marlinspike, 2009).
    const bool plain = std::ranges::none_of(bytes, [](std::uint8_t byte) { return byte < 0x20 || byte == 0x7f; });
    if (plain) out.push_back(to_text(bytes));
  });
  return out;
}

}  // namespace

X509Certificate X509Certificate::from_handle(x509_st* owned) {
  return X509Certificate(std::shared_ptr<x509_st>(owned, ossl::Deleter<X509_free>{}));
}

Result<X509Certificate> X509Certificate::from_pem(std::string_view pem) {
  MEZ_TRY(auto all, all_from_pem(pem));
  return std::move(all.front());
}

Result<std::vector<X509Certificate>> X509Certificate::all_from_pem(std::string_view pem) {
  const ossl::Bio bio(BIO_new_mem_buf(pem.data(), static_cast<int>(std::min<std::size_t>(pem.size(), INT_MAX))));
  std::vector<X509Certificate> out;
  while (X509* certificate = bio ? PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr) : nullptr) {
    out.push_back(from_handle(certificate));
    if (out.size() > 1000) return fail(ErrorCode::kInvalidArgument, "more than 1000 certificates in one PEM");
  }
  // The end of the input is an error to OpenSSL, and the only one that is fine.
  const unsigned long code = ERR_peek_last_error();
  ERR_clear_error();
  if (out.empty() || ERR_GET_LIB(code) != ERR_LIB_PEM || ERR_GET_REASON(code) != PEM_R_NO_START_LINE) {
    return fail(ErrorCode::kInvalidArgument, "not certificates in PEM ('-----BEGIN CERTIFICATE-----')");
  }
  return out;
}

Result<X509Certificate> X509Certificate::from_der(BytesView der) {
  const unsigned char* at = der.data();
  ossl::X509Ptr certificate(der.size() > 1 << 20 ? nullptr : d2i_X509(nullptr, &at, static_cast<long>(der.size())));
  if (!certificate || at != der.data() + der.size()) {
    ERR_clear_error();
    return fail(ErrorCode::kInvalidArgument, "not an X.509 certificate in DER");
  }
  return from_handle(certificate.release());
}

std::string X509Certificate::to_pem() const {
  const ossl::Bio bio(BIO_new(BIO_s_mem()));
  ossl::require(bio && PEM_write_bio_X509(bio.get(), handle()) == 1, "writing a certificate");
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio.get(), &data);
  return std::string(data, static_cast<std::size_t>(size));
}

Bytes X509Certificate::to_der() const {
  const int size = i2d_X509(handle(), nullptr);
  ossl::require(size > 0, "writing a certificate");
  Bytes out(static_cast<std::size_t>(size));
  unsigned char* at = out.data();
  i2d_X509(handle(), &at);
  return out;
}

std::string to_pem(std::span<const X509Certificate> chain) {
  std::string out;
  for (const auto& certificate : chain) out += certificate.to_pem();
  return out;
}

std::string X509Certificate::subject() const { return name_text(X509_get_subject_name(handle())); }
std::string X509Certificate::issuer() const { return name_text(X509_get_issuer_name(handle())); }

std::string X509Certificate::common_name() const {
  const X509_NAME* name = X509_get_subject_name(handle());
  const int index = X509_NAME_get_index_by_NID(name, NID_commonName, -1);
  if (index < 0) return {};
  unsigned char* utf8 = nullptr;
  const int size = ASN1_STRING_to_UTF8(&utf8, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(name, index)));
  if (size < 0) return {};
  std::string out(reinterpret_cast<char*>(utf8), static_cast<std::size_t>(size));
  OPENSSL_free(utf8);
  return out;
}

std::string X509Certificate::serial_hex() const {
  const ossl::Bignum number(ASN1_INTEGER_to_BN(X509_get0_serialNumber(handle()), nullptr));
  return number ? to_hex(ossl::bn_bytes(number.get())) : std::string();
}

std::vector<std::string> X509Certificate::dns_names() const { return text_names(handle(), GEN_DNS); }
std::vector<std::string> X509Certificate::uris() const { return text_names(handle(), GEN_URI); }

std::vector<std::string> X509Certificate::ip_addresses() const {
  std::vector<std::string> out;
  for_each_name(handle(), GEN_IPADD, [&out](BytesView bytes) {
    std::array<char, INET6_ADDRSTRLEN> text{};
    const int family = bytes.size() == 4 ? AF_INET : AF_INET6;
    if ((bytes.size() == 4 || bytes.size() == 16) &&
        ::inet_ntop(family, bytes.data(), text.data(), static_cast<socklen_t>(text.size())) != nullptr) {
      out.emplace_back(text.data());
    }
  });
  return out;
}

SystemTime X509Certificate::not_before() const { return to_time(X509_get0_notBefore(handle())); }
SystemTime X509Certificate::not_after() const { return to_time(X509_get0_notAfter(handle())); }
bool X509Certificate::is_ca() const { return X509_check_ca(handle()) == 1; }

Result<VerifyingKey> X509Certificate::public_key() const {
  EVP_PKEY* key = X509_get_pubkey(handle());
  if (key == nullptr)
    return fail(ErrorCode::kInvalidArgument, "certificate with an unusable key: {}", ossl::take_error());
  return VerifyingKey::from_handle(ossl::share(key));
}

std::string X509Certificate::spki_sha256_hex() const {
  unsigned char* der = nullptr;
  const int size = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(handle()), &der);
  ossl::require(size > 0, "SubjectPublicKeyInfo");
  const auto digest = sha256({der, static_cast<std::size_t>(size)});
  OPENSSL_free(der);
  return to_hex(digest);
}

std::string X509Certificate::sha256_fingerprint_hex() const { return to_hex(sha256(to_der())); }

bool X509Certificate::is_signed_by(const X509Certificate& ca) const {
  EVP_PKEY* key = X509_get0_pubkey(ca.handle());
  const bool good = key != nullptr &&
                    X509_NAME_cmp(X509_get_issuer_name(handle()), X509_get_subject_name(ca.handle())) == 0 &&
                    X509_verify(handle(), key) == 1;
  ERR_clear_error();
  return good;
}

bool X509Certificate::matches_host(std::string_view host) const {
  if (host.empty() || host.find('\0') != std::string_view::npos) return false;
  const std::string name(host);
  std::array<std::uint8_t, 16> address;
  const bool is_address = ::inet_pton(AF_INET, name.c_str(), address.data()) == 1 ||
                          ::inet_pton(AF_INET6, name.c_str(), address.data()) == 1;
  // The common name is not a host name any more (RFC 9525 §1.2).
  const int found =
      is_address ? X509_check_ip_asc(handle(), name.c_str(), 0)
                 : X509_check_host(handle(), name.data(), name.size(),
                                   X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS | X509_CHECK_FLAG_NEVER_CHECK_SUBJECT, nullptr);
  ERR_clear_error();
  return found == 1;
}

Status verify_x509_chain(std::span<const X509Certificate> chain, std::span<const X509Certificate> roots, SystemTime now,
                         X509Usage usage) {
  if (chain.empty()) return fail(ErrorCode::kUnauthenticated, "no certificate was shown");
  const ossl::X509StorePtr store(X509_STORE_new());
  for (const auto& root : roots) X509_STORE_add_cert(store.get(), root.handle());
  return ossl::verify_chain(chain, store.get(), now, usage, {});
}

namespace ossl {

Status verify_chain(std::span<const X509Certificate> chain, X509_STORE* store, SystemTime now, X509Usage usage,
                    std::string_view host) {
  Owned<STACK_OF(X509), [](STACK_OF(X509) * s) { sk_X509_free(s); }> others(sk_X509_new_null());
  for (const auto& certificate : chain.subspan(1)) sk_X509_push(others.get(), certificate.handle());
  const X509StoreCtxPtr context(X509_STORE_CTX_new());
  if (!context || X509_STORE_CTX_init(context.get(), store, chain[0].handle(), others.get()) != 1) {
    return fail(ErrorCode::kInternal, "verifying a certificate: {}", take_error());
  }
  X509_VERIFY_PARAM* parameters = X509_STORE_CTX_get0_param(context.get());
  X509_VERIFY_PARAM_set_time(parameters, to_unix_seconds(now));
  X509_VERIFY_PARAM_set_depth(parameters, 8);
  // A root that is trusted is trusted wherever it stands: an intermediate in the set is an anchor too.
  X509_VERIFY_PARAM_set_flags(parameters, X509_V_FLAG_PARTIAL_CHAIN);
  const auto purpose = [&](int id) { return X509_STORE_CTX_set_purpose(context.get(), id) == 1; };
  const bool ok = purpose(usage == X509Usage::kClient ? X509_PURPOSE_SSL_CLIENT : X509_PURPOSE_SSL_SERVER) &&
                  X509_verify_cert(context.get()) == 1;
  const int error = X509_STORE_CTX_get_error(context.get());
  const int depth = X509_STORE_CTX_get_error_depth(context.get());
  ERR_clear_error();
  if (!ok) {
    X509* culprit = X509_STORE_CTX_get_current_cert(context.get());
    return fail(ErrorCode::kUnauthenticated, "certificate '{}' (number {} of the chain): {}",
                culprit != nullptr ? name_text(X509_get_subject_name(culprit)) : "?", depth + 1,
                X509_verify_cert_error_string(error));
  }
  if (usage == X509Usage::kServerAndClient) return verify_chain(chain, store, now, X509Usage::kClient, host);
  if (!host.empty() && !chain[0].matches_host(host)) {
    return fail(ErrorCode::kUnauthenticated, "certificate '{}' is not for the name '{}'", chain[0].subject(),
                printable(host));
  }
  return {};
}

}  // namespace ossl

}  // namespace mezite::crypto
