// What peers present in TLS and what operators hand in: certificates, public keys, pins. First byte: which.
#include <algorithm>
#include <cstdlib>

#include "crypto/tls.hh"
#include "crypto/x509.hh"

namespace {

using namespace mezite;
using namespace mezite::crypto;

void expect(bool condition) {
  if (!condition) std::abort();
}

bool is_printable(std::string_view text) {
  return std::ranges::none_of(text, [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; });
}

void look_at(const X509Certificate& certificate) {
  expect(is_printable(certificate.subject()) && is_printable(certificate.issuer()));
  // A name with a NUL in it is another name for each who reads it.
  for (const auto& names : {certificate.dns_names(), certificate.uris(), certificate.ip_addresses()}) {
    for (const auto& name : names) expect(name.find('\0') == std::string::npos);
  }
  static_cast<void>(certificate.common_name());
  static_cast<void>(certificate.serial_hex());
  static_cast<void>(certificate.not_before());
  static_cast<void>(certificate.not_after());
  static_cast<void>(certificate.is_ca());
  static_cast<void>(certificate.public_key());
  static_cast<void>(certificate.spki_sha256_hex());
  static_cast<void>(certificate.is_signed_by(certificate));
  static_cast<void>(certificate.matches_host("hub.example.com"));
  static_cast<void>(certificate.matches_host("127.0.0.1"));
  const X509Certificate chain[] = {certificate};
  static_cast<void>(verify_x509_chain(chain, {}, from_unix_seconds(1'700'000'000), X509Usage::kServer));
}

void der(BytesView input) {
  const auto certificate = X509Certificate::from_der(input);
  if (!certificate) return;
  look_at(*certificate);
  expect(X509Certificate::from_pem(certificate->to_pem()).has_value());
}

void pem(BytesView input) {
  const auto certificates = X509Certificate::all_from_pem(as_text(input));
  if (!certificates) return;
  expect(!certificates->empty() && certificates->size() <= 1000);
  for (const auto& certificate : *certificates) look_at(certificate);
}

void public_key(BytesView input) {
  const auto key = VerifyingKey::from_spki(input);
  if (!key) return;
  const auto again = VerifyingKey::from_spki(key->spki());
  expect(again.has_value() && again->spki_sha256_hex() == key->spki_sha256_hex());
}

void private_key(BytesView input) {
  static_cast<void>(SigningKey::from_pkcs8(input));
  static_cast<void>(SigningKey::from_pem(as_text(input)));
}

void pin(BytesView input) {
  if (const auto pin = parse_pin(as_text(input))) {
    expect(pin->size() == 64 && pin->find_first_not_of("0123456789abcdef") == std::string::npos);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  constexpr void (*kChecks[])(BytesView) = {der, pem, public_key, private_key, pin};
  kChecks[data[0] % std::size(kChecks)](BytesView(data + 1, size - 1));
  return 0;
}
