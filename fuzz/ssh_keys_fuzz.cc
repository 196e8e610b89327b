// Public keys, certificates, private key containers, known_hosts and address lists.
#include <algorithm>
#include <cstdlib>

#include "ssh/keys/certificate.hh"
#include "ssh/keys/certificate_check.hh"
#include "ssh/keys/known_hosts.hh"
#include "ssh/keys/private_key.hh"

namespace {

using namespace mezite;
using namespace mezite::ssh;

void expect(bool condition) {
  if (!condition) std::abort();
}

void public_blob(BytesView input) {
  const auto credential = parse_public_credential(input);
  if (!credential) return;
  // A blob that is taken is the one way to write it.
  const bool certified = std::holds_alternative<Certificate>(*credential);
  const auto& wire = certified ? std::get<Certificate>(*credential).wire() : plain_key(*credential).wire();
  expect(std::ranges::equal(wire, input));
  const std::string text =
      certified ? std::get<Certificate>(*credential).to_text() : plain_key(*credential).to_text("comment");
  expect(certified ? Certificate::from_text(text).has_value() : PublicKey::from_text(text).has_value());
}

void public_text(BytesView input) {
  const auto key = PublicKey::from_text(as_text(input));
  if (key) expect(PublicKey::from_wire(key->wire()).has_value());
  static_cast<void>(Certificate::from_text(as_text(input)));
  static_cast<void>(public_key_comment(as_text(input)));
}

void private_text(BytesView input) {
  const auto key = PrivateKey::from_pem(as_text(input));
  if (!key) return;
  const auto pem = key->to_openssh_pem("comment");
  expect(pem.has_value());
  const auto again = PrivateKey::from_pem(pem->text());
  expect(again && again->public_key() == key->public_key());
}

// The container between the lines of OpenSSH's file, so that mutations hit fields rather than base64.
void private_container(BytesView input) {
  const std::string pem =
      "-----BEGIN OPENSSH PRIVATE KEY-----\n" + to_base64(input) + "\n-----END OPENSSH PRIVATE KEY-----\n";
  private_text(as_bytes(pem));
}

void known_hosts(BytesView input) {
  const auto hosts = KnownHosts::parse(as_text(input));
  static_cast<void>(hosts.lookup("node-1.example.com", 22));
  static_cast<void>(hosts.lookup("10.0.0.1", 3022));
}

void signature(BytesView input) {
  static const auto key = PrivateKey::generate(KeyType::kEcdsaP256);
  expect(!key->public_key().verify("ecdsa-sha2-nistp256", as_bytes("message"), input));
}

void options(BytesView input) { static_cast<void>(option_text(input)); }

void addresses(BytesView input) {
  static_cast<void>(match_source_address(as_text(input), "192.0.2.7"));
  static_cast<void>(match_source_address("192.0.2.0/24,2001:db8::/32", as_text(input)));
}

using Check = void (*)(BytesView);
constexpr Check kChecks[] = {public_blob, public_text, private_text, private_container,
                             known_hosts, signature,   options,      addresses};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  kChecks[data[0] % std::size(kChecks)](BytesView(data + 1, size - 1));
  return 0;
}
