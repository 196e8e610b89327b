#include "ssh/keys/certificate_check.hh"

#include <algorithm>
#include <array>
#include <deque>
#include <mutex>
#include <unordered_set>

#include "base/text.hh"
#include "crypto/hash.hh"
#include "ssh/keys/address_list.hh"

namespace mezite::ssh {
namespace {

template <class... Args>
std::unexpected<CertificateRefusal> refuse(CertificateRefusalReason reason, fmt::format_string<Args...> format,
                                           Args&&... args) {
  CertificateRefusal refusal;
  refusal.code = ErrorCode::kUnauthenticated;
  refusal.message = fmt::format(format, std::forward<Args>(args)...);
  refusal.reason = reason;
  return std::unexpected(std::move(refusal));
}

// The algorithm that the signature blob itself names, if the CA key may use it.
bool signature_verifies(const Certificate& certificate) {
  Reader in(certificate.signature());
  const std::string_view algorithm = in.text();
  return !in.failed() &&
         certificate.signature_key().verify(algorithm, certificate.signed_part(), certificate.signature()).has_value();
}

using Verdict = std::expected<void, CertificateRefusal>;

Verdict check_signature(const Certificate& certificate, SignatureCache* cache) {
  using enum CertificateRefusalReason;
  crypto::Sha256Digest digest;
  if (cache != nullptr) {
    digest = crypto::sha256(certificate.wire());
    if (cache->contains(digest)) return {};
  }
  if (!signature_verifies(certificate)) return refuse(kBadSignature, "ssh: certificate signature does not verify");
  if (cache != nullptr) cache->insert(digest);
  return {};
}

Verdict check_critical_options(const Certificate& certificate, const CertificateCheck& check) {
  using enum CertificateRefusalReason;
  for (const auto& [name, value] : certificate.critical_options()) {
    // Only a FIDO key can show that its user was verified.
    if (name == kVerifyRequired && certificate.type() == CertificateType::kUser &&
        is_fido(certificate.public_key().type())) {
      if (value.empty()) continue;
      return refuse(kCriticalOption, "ssh: certificate has a malformed critical option '{}'", name);
    }
    const bool known =
        certificate.type() == CertificateType::kUser && (name == "force-command" || name == "source-address");
    if (!known) {
      return refuse(kCriticalOption, "ssh: certificate has the critical option '{}', which is not supported here",
                    printable(name.substr(0, 64)));
    }
    const auto text = option_text(value);
    if (!text || text->empty() || text->find('\0') != std::string::npos) {
      return refuse(kCriticalOption, "ssh: certificate has a malformed critical option '{}'", name);
    }
    if (name != "source-address") continue;
    if (!check.source_address) {
      return refuse(kSourceAddress, "ssh: certificate is bound to addresses and the client's is not known");
    }
    const auto match = match_source_address(*text, *check.source_address);
    if (!match) {
      return refuse(kCriticalOption, "ssh: certificate has a malformed source-address: {}", match.error().message);
    }
    if (!*match) {
      return refuse(kSourceAddress, "ssh: certificate is not valid from the address {}",
                    printable(*check.source_address));
    }
  }
  return {};
}

}  // namespace

std::string_view certificate_refusal_name(CertificateRefusalReason reason) {
  switch (reason) {
    case CertificateRefusalReason::kUnknownCa: return "unknown_ca";
    case CertificateRefusalReason::kBadSignature: return "bad_signature";
    case CertificateRefusalReason::kWrongType: return "wrong_type";
    case CertificateRefusalReason::kNotYetValid: return "not_yet_valid";
    case CertificateRefusalReason::kExpired: return "expired";
    case CertificateRefusalReason::kPrincipal: return "principal";
    case CertificateRefusalReason::kSourceAddress: return "source_address";
    case CertificateRefusalReason::kCriticalOption: return "critical_option";
  }
  return "unknown";
}

struct SignatureCache::State {
  struct DigestHash {
    std::size_t operator()(const crypto::Sha256Digest& digest) const {
      std::size_t value = 0;
      std::copy_n(digest.begin(), sizeof value, reinterpret_cast<std::uint8_t*>(&value));
      return value;
    }
  };
  std::size_t max_entries;
  mutable std::mutex mutex;
  std::unordered_set<crypto::Sha256Digest, DigestHash> digests;
  std::deque<crypto::Sha256Digest> order;
};

namespace {
crypto::Sha256Digest to_digest(BytesView bytes) {
  crypto::Sha256Digest digest{};
  std::copy_n(bytes.begin(), std::min(bytes.size(), digest.size()), digest.begin());
  return digest;
}
}  // namespace

SignatureCache::SignatureCache(std::size_t max_entries) : state_(std::make_unique<State>()) {
  state_->max_entries = std::max<std::size_t>(2, max_entries);
}
SignatureCache::~SignatureCache() = default;

bool SignatureCache::contains(BytesView digest) const {
  const std::lock_guard lock(state_->mutex);
  return state_->digests.contains(to_digest(digest));
}

void SignatureCache::insert(BytesView digest) {
  const std::lock_guard lock(state_->mutex);
  if (!state_->digests.insert(to_digest(digest)).second) return;
  state_->order.push_back(to_digest(digest));
  if (state_->order.size() <= state_->max_entries) return;
  while (state_->order.size() > state_->max_entries / 2) {
    state_->digests.erase(state_->order.front());
    state_->order.pop_front();
  }
}

std::size_t SignatureCache::size() const {
  const std::lock_guard lock(state_->mutex);
  return state_->order.size();
}

// Order: who signed, then the signature, then what it says. Nothing that the certificate claims is believed before its
// CA is.
std::expected<void, CertificateRefusal> verify_certificate(const Certificate& certificate,
                                                           const CertificateCheck& check) {
  using enum CertificateRefusalReason;
  if (std::ranges::find(check.trusted_cas, certificate.signature_key()) == check.trusted_cas.end()) {
    return refuse(kUnknownCa, "ssh: certificate signed by an authority that is not trusted here ({})",
                  certificate.signature_key().fingerprint());
  }
  if (auto verdict = check_signature(certificate, check.cache); !verdict) return verdict;
  if (certificate.type() != check.type) {
    return refuse(kWrongType, "ssh: certificate is a {} certificate",
                  certificate.type() == CertificateType::kUser ? "user" : "host");
  }
  const std::int64_t seconds = to_unix_seconds(check.now);
  const std::uint64_t now = seconds < 0 ? 0 : static_cast<std::uint64_t>(seconds);
  if (now < certificate.valid_after()) return refuse(kNotYetValid, "ssh: certificate not yet valid");
  if (now >= certificate.valid_before()) return refuse(kExpired, "ssh: certificate expired");
  // To some verifiers an empty list means "any name"; here it names nobody (Vault CVE-2024-7594).
  const auto& principals = certificate.valid_principals();
  if (principals.empty()) return refuse(kPrincipal, "ssh: certificate lists no principals");
  for (const auto& principal : principals) {
    if (!check_principal(principal)) return refuse(kPrincipal, "ssh: certificate has a malformed principal");
  }
  if (check.principal && std::ranges::find(principals, *check.principal) == principals.end()) {
    return refuse(kPrincipal, "ssh: certificate is not valid for the name '{}'", printable(*check.principal));
  }
  return check_critical_options(certificate, check);
}

Result<bool> match_source_address(std::string_view cidr_list, std::string_view address) {
  MEZ_TRY(const IpAddress peer, parse_ip_address(address));
  bool matched = false;
  if (cidr_list.size() > 4096) return fail(ErrorCode::kInvalidArgument, "address list is too long");
  for (const std::string_view item : split(cidr_list, ',')) {
    MEZ_TRY(const IpNetwork network, parse_ip_network(item));
    matched = matched || network.contains(peer);
  }
  return matched;
}

}  // namespace mezite::ssh
