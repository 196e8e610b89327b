// Workload identity: first byte: SPIFFE IDs, one selector, a list of them (a line each), a token as it comes, the
// claims of a token that is signed, header and claims (up to the first line feed) of one.
#include <cstdlib>

#include "base/bytes.hh"
#include "base/text.hh"
#include "spiffe/id.hh"
#include "spiffe/jwt_svid.hh"
#include "spiffe/selector.hh"

namespace {

using namespace mezite;
using namespace mezite::spiffe;

void expect(bool condition) {
  if (!condition) std::abort();
}

void id(std::string_view input) {
  const auto parsed = Id::parse(input);
  if (!parsed) return;
  expect(parsed->text() == input && input.size() <= kMaxIdBytes);
  expect(printable(input) == input && !parsed->path.ends_with('/') && parsed->path.find("//") == std::string::npos);
}

void selector(std::string_view input) {
  const auto parsed = Selector::parse(input);
  if (!parsed) return;
  const auto again = Selector::parse(parsed->text());
  expect(again.has_value() && *again == *parsed);
}

void selectors(std::string_view input) {
  std::vector<std::string> texts;
  for (const std::string_view line : split(input, '\n')) texts.emplace_back(line);
  const auto parsed = Selectors::parse(texts);
  if (!parsed) return;
  expect(!texts.empty() && texts.size() <= Selectors::kMost);
  // Nothing is known of this process but numbers: what asks for more does not match.
  const Process nobody{.uid = 65534, .gid = 65534, .user = {}, .group = {}, .path = {}, .systemd_unit = {}};
  const auto again = Selectors::parse(parsed->texts());
  expect(again.has_value() && again->texts() == parsed->texts());
  expect(again->match_process(nobody) == parsed->match_process(nobody));
  static_cast<void>(parsed->match_node("web-01", {{"env", "prod"}}));
}

struct Signer {
  crypto::SoftwareSigner signer{crypto::SigningKey::generate(crypto::KeyAlgorithm::kEcdsaP256).value()};
  JwtKey key = JwtKey::of(signer.public_key()).value();
};
const Signer& signer() {
  static const Signer made;
  return made;
}

void token(std::string_view text) {
  const SystemTime now = from_unix_seconds(1'800'000'000);
  const auto verified = verify_jwt_svid(text, "prod.example", std::span(&signer().key, 1), "reader", now);
  if (!verified) {
    expect(verified.error().code == ErrorCode::kUnauthenticated);
    return;
  }
  // Clocks may be half a minute apart.
  expect(verified->subject.trust_domain == "prod.example" && verified->expires_at + std::chrono::seconds(30) > now);
  expect(verified->claims_json.starts_with('{'));
}

void signed_token(std::string_view header, std::string_view claims) {
  const std::string is_signed = to_base64url(as_bytes(header)) + "." + to_base64url(as_bytes(claims));
  const auto signature = signer().signer.sign(crypto::SignatureHash::kSha256, as_bytes(is_signed));
  expect(signature.has_value());
  token(is_signed + "." + to_base64url(*signature));
}

void claims(std::string_view input) {
  signed_token(R"({"alg":"ES256","typ":"JWT","kid":")" + signer().key.kid + "\"}", input);
}

void header_and_claims(std::string_view input) {
  const std::size_t line = input.find('\n');
  if (line != std::string_view::npos) signed_token(input.substr(0, line), input.substr(line + 1));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  constexpr void (*kChecks[])(std::string_view) = {id, selector, selectors, token, claims, header_and_claims};
  kChecks[data[0] % std::size(kChecks)](as_text(BytesView(data + 1, size - 1)));
  return 0;
}
