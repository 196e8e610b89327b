#include "agent/workload/svids.hh"

#include <algorithm>
#include <set>

namespace mezite::agent {
namespace {

constexpr std::chrono::seconds kLongestWait{30};
constexpr std::size_t kMaxTokens = 1024;

SystemTime half_of(SystemTime from, SystemTime to) { return from + (to - from) / 2; }

const crypto::X509Certificate* signer_of(const crypto::X509Certificate& leaf, const spiffe::Bundle& bundle) {
  auto found = std::ranges::find_if(bundle.x509, [&](const auto& ca) { return leaf.is_signed_by(ca); });
  return found == bundle.x509.end() ? nullptr : &*found;
}

bool is_of_signing_key(const X509Svid& svid, const spiffe::Bundle& bundle) {
  return !bundle.x509.empty() && svid.signer == bundle.x509[0].sha256_fingerprint_hex();
}

bool is_trusted(const X509Svid& svid, const spiffe::Bundle& bundle) {
  return std::ranges::any_of(bundle.x509, [&](const auto& ca) { return svid.signer == ca.sha256_fingerprint_hex(); });
}

// The hub's answer for good, as opposed to one that it may give later.
bool is_final(ErrorCode code) {
  return code == ErrorCode::kPermissionDenied || code == ErrorCode::kInvalidArgument || code == ErrorCode::kNotFound;
}

}  // namespace

std::shared_ptr<Svids::Entry> Svids::entry_of(const std::string& registration) {
  std::lock_guard lock(mutex_);
  auto& entry = entries_[registration];
  if (!entry) entry = std::make_shared<Entry>();
  return entry;
}

Result<std::shared_ptr<const X509Svid>> Svids::issue(const Registration& registration, const WorkloadState& state) {
  MEZ_TRY(auto key, crypto::SigningKey::generate(crypto::KeyAlgorithm::kEcdsaP256));
  Bytes spki = key.public_key().spki();
  MEZ_TRY(crypto::X509Certificate leaf, issuer_.issue_x509_svid(registration.id, spki));
  const crypto::X509Certificate* ca = signer_of(leaf, state.bundle);
  if (ca == nullptr) {
    return fail(ErrorCode::kUnavailable, "the hub signed with a key that this agent does not know yet");
  }
  MEZ_TRY(auto certified, leaf.public_key());
  if (certified.spki() != spki || leaf.uris() != std::vector{registration.spiffe_id.text()}) {
    return fail(ErrorCode::kProtocol, "the hub's certificate is for another key or another SPIFFE ID");
  }
  MEZ_CHECK(crypto::verify_x509_chain(std::span(&leaf, 1), std::span(ca, 1), clock_.now(), crypto::X509Usage::kClient));
  auto svid = std::make_shared<X509Svid>();
  svid->spiffe_id = registration.spiffe_id.text();
  svid->certificate_der = leaf.to_der();
  MEZ_TRY(svid->key_pkcs8, key.to_pkcs8());
  svid->expires_at = leaf.not_after();
  svid->renew_at = half_of(clock_.now(), leaf.not_after());
  svid->signer = ca->sha256_fingerprint_hex();
  return std::shared_ptr<const X509Svid>(std::move(svid));
}

Result<Svids::Given> Svids::x509(const Registration& registration, const WorkloadState& state) {
  auto entry = entry_of(registration.id);
  std::lock_guard lock(entry->mutex);
  SystemTime now = clock_.now();
  auto given = [&] {
    bool current = is_of_signing_key(*entry->svid, state.bundle);
    bool waits = !current || now >= entry->svid->renew_at;
    return Given{entry->svid, waits ? std::max(entry->retry_at, now) : entry->svid->renew_at, current};
  };
  if (entry->svid && is_of_signing_key(*entry->svid, state.bundle) && now < entry->svid->renew_at) return given();
  bool good = entry->svid && is_trusted(*entry->svid, state.bundle) && now < entry->svid->expires_at;
  if (good && now < entry->retry_at) return given();
  auto issued = issue(registration, state);
  if (issued) {
    entry->svid = std::move(*issued);
    entry->failures = 0;
    entry->retry_at = {};
    return given();
  }
  if (is_final(issued.error().code)) {
    entry->svid.reset();
    return std::unexpected(issued.error());
  }
  entry->failures = std::min(entry->failures + 1, 5U);
  entry->retry_at = clock_.now() + std::min(kLongestWait, std::chrono::seconds(1U << (entry->failures - 1)));
  if (good) return given();
  return std::unexpected(issued.error());
}

Result<std::shared_ptr<const JwtSvid>> Svids::jwt(const Registration& registration, std::vector<std::string> audiences,
                                                  const WorkloadState& state) {
  std::ranges::sort(audiences);
  audiences.erase(std::unique(audiences.begin(), audiences.end()), audiences.end());
  SystemTime now = clock_.now();
  std::string signing_kid = state.bundle.jwt.empty() ? "" : state.bundle.jwt[0].kid;
  JwtKey name(registration.id, audiences);
  {
    std::lock_guard lock(mutex_);
    auto found = tokens_.find(name);
    if (found != tokens_.end() && now < found->second->renew_at && found->second->kid == signing_kid) {
      return found->second;
    }
  }
  MEZ_TRY(SvidIssuer::Jwt issued, issuer_.issue_jwt_svid(registration.id, audiences));
  auto token = std::make_shared<JwtSvid>();
  token->token = std::move(issued.token);
  token->expires_at = issued.expires_at;
  token->renew_at = half_of(now, issued.expires_at);
  token->kid = std::move(signing_kid);
  std::lock_guard lock(mutex_);
  if (tokens_.size() >= kMaxTokens)
    std::erase_if(tokens_, [&](const auto& one) { return one.second->renew_at <= now; });
  if (tokens_.size() >= kMaxTokens) tokens_.clear();
  tokens_[std::move(name)] = token;
  return token;
}

void Svids::forget_all_but(const WorkloadState& state) {
  std::set<std::string_view> there;
  for (const Registration& one : state.registrations) there.insert(one.id);
  std::lock_guard lock(mutex_);
  std::erase_if(entries_, [&](const auto& one) { return !there.contains(one.first); });
  std::erase_if(tokens_, [&](const auto& one) { return !there.contains(one.first.first); });
}

}  // namespace mezite::agent
