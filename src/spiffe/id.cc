#include "spiffe/id.hh"

#include <algorithm>

#include "base/text.hh"

namespace mezite::spiffe {
namespace {

constexpr std::string_view kScheme = "spiffe://";
constexpr std::size_t kMaxTrustDomainBytes = 255;

bool is_lower_or_digit(char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); }
bool is_of_trust_domain(char c) { return is_lower_or_digit(c) || c == '.' || c == '-' || c == '_'; }
bool is_of_path(char c) { return is_of_trust_domain(c) || (c >= 'A' && c <= 'Z'); }

std::unexpected<Error> refuse(std::string_view text, std::string_view why) {
  return fail(ErrorCode::kInvalidArgument, "'{}' is no SPIFFE ID: {}", printable(text.substr(0, 128)), why);
}

}  // namespace

Result<Id> Id::parse(std::string_view text) {
  if (text.size() > kMaxIdBytes) return refuse(text, "it is over 2048 bytes");
  if (!text.starts_with(kScheme)) return refuse(text, "it must be of the form spiffe://TRUST-DOMAIN/PATH");
  std::string_view rest = text.substr(kScheme.size());
  std::string_view domain = rest.substr(0, rest.find('/'));
  std::string_view path = rest.substr(domain.size());
  if (domain.empty() || domain.size() > kMaxTrustDomainBytes || !std::ranges::all_of(domain, is_of_trust_domain)) {
    return refuse(text, "a trust domain is 1 to 255 lower-case letters, digits, '.', '-' and '_'");
  }
  if (path.empty() || path == "/") return refuse(text, "the path is missing, as in spiffe://TRUST-DOMAIN/payments");
  for (std::string_view segment : split(path.substr(1), '/')) {
    if (segment.empty() || segment == "." || segment == "..") {
      return refuse(text, "a path has no empty, '.' or '..' segments and no '/' at its end");
    }
    if (!std::ranges::all_of(segment, is_of_path)) {
      return refuse(text, "a path has letters, digits, '.', '-' and '_' only");
    }
  }
  return Id{.trust_domain = std::string(domain), .path = std::string(path)};
}

}  // namespace mezite::spiffe
