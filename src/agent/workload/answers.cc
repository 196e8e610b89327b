#include "agent/workload/answers.hh"

#include <google/protobuf/util/json_util.h>

#include <algorithm>
#include <set>

#include "base/text.hh"

namespace mezite::agent {
namespace {

std::string key_of(const spiffe::Bundle& bundle) { return "spiffe://" + bundle.trust_domain; }

std::string x509_of(const spiffe::Bundle& bundle) { return to_text(spiffe::to_der(bundle.x509)); }

}  // namespace

std::shared_ptr<const WorkloadState> Answers::state() const {
  std::lock_guard lock(mutex_);
  return state_;
}

bool Answers::put(WorkloadState state) {
  auto next = std::make_shared<const WorkloadState>(std::move(state));
  {
    std::lock_guard lock(mutex_);
    // Neither may go back: registrations by the revision, keys by the bundle's sequence.
    if (next->revision < state_->revision || next->bundle.sequence < state_->bundle.sequence) return false;
    state_ = next;
  }
  svids_.forget_all_but(*next);
  return true;
}

Result<Answers::Entitled> Answers::entitled(const Peer& peer) const {
  auto process = peer.attest();
  if (!process) {
    denied_(peer, nullptr, process.error());
    return std::unexpected(process.error());
  }
  Entitled out{.state = state(), .registrations = {}};
  if (out.state->revision == 0) {
    return fail(ErrorCode::kUnavailable, "the node agent has not heard from its hub yet; try again in a moment");
  }
  std::set<std::string> seen;
  for (const Registration& one : out.state->registrations) {
    if (one.selectors.match_process(*process) && seen.insert(one.spiffe_id.text()).second) {
      out.registrations.push_back(&one);
    }
  }
  if (!out.registrations.empty()) return out;
  Error refused{ErrorCode::kPermissionDenied,
                "no workload identity is registered for this process; mezctl workload-identity create makes one"};
  denied_(peer, &*process, refused);
  return std::unexpected(std::move(refused));
}

Result<X509SVIDResponse> Answers::x509_svids(const Peer& peer, Freshness& freshness) {
  MEZ_TRY(Entitled entitled, this->entitled(peer));
  X509SVIDResponse response;
  std::set<std::string_view> hints;
  Error last;
  for (const Registration* one : entitled.registrations) {
    auto given = svids_.x509(*one, *entitled.state);
    if (!given) {
      last = given.error();
      // The others are good without it, and it is asked for again.
      freshness.due = std::min(freshness.due, clock_.now() + std::chrono::seconds(2));
      freshness.settled = freshness.settled && last.code == ErrorCode::kPermissionDenied;
      continue;
    }
    X509SVID* svid = response.add_svids();
    svid->set_spiffe_id(given->svid->spiffe_id);
    svid->set_x509_svid(to_text(given->svid->certificate_der));
    svid->set_x509_svid_key(std::string(given->svid->key_pkcs8.text()));
    svid->set_bundle(x509_of(entitled.state->bundle));
    // Workload API §5.2.1: a hint is unique in an answer.
    if (hints.insert(one->hint).second) svid->set_hint(one->hint);
    freshness.due = std::min(freshness.due, given->due);
    freshness.settled = freshness.settled && given->of_signing_key;
  }
  if (response.svids().empty()) return std::unexpected(std::move(last));
  return response;
}

Result<X509BundlesResponse> Answers::x509_bundles(const Peer& peer) {
  MEZ_TRY(Entitled entitled, this->entitled(peer));
  const spiffe::Bundle& bundle = entitled.state->bundle;
  X509BundlesResponse response;
  (*response.mutable_bundles())[key_of(bundle)] = x509_of(bundle);
  return response;
}

Result<JWTSVIDResponse> Answers::jwt_svids(const Peer& peer, const JWTSVIDRequest& request) {
  std::vector<std::string> audiences(request.audience().begin(), request.audience().end());
  MEZ_CHECK(spiffe::check_audiences(audiences));
  if (!request.spiffe_id().empty()) MEZ_CHECK(spiffe::Id::parse(request.spiffe_id()));
  MEZ_TRY(Entitled entitled, this->entitled(peer));
  JWTSVIDResponse response;
  std::set<std::string_view> hints;
  Error last{ErrorCode::kPermissionDenied,
             fmt::format("'{}' is none of the workload's SPIFFE IDs", printable(request.spiffe_id()))};
  for (const Registration* one : entitled.registrations) {
    std::string id = one->spiffe_id.text();
    if (!request.spiffe_id().empty() && request.spiffe_id() != id) continue;
    auto token = svids_.jwt(*one, audiences, *entitled.state);
    if (!token) {
      last = token.error();
      continue;
    }
    JWTSVID* svid = response.add_svids();
    svid->set_spiffe_id(id);
    svid->set_svid((*token)->token);
    if (hints.insert(one->hint).second) svid->set_hint(one->hint);
  }
  if (response.svids().empty()) return std::unexpected(std::move(last));
  return response;
}

Result<JWTBundlesResponse> Answers::jwt_bundles(const Peer& peer) {
  MEZ_TRY(Entitled entitled, this->entitled(peer));
  const spiffe::Bundle& bundle = entitled.state->bundle;
  JWTBundlesResponse response;
  MEZ_TRY((*response.mutable_bundles())[key_of(bundle)], spiffe::jwt_keys_to_json(bundle.jwt));
  return response;
}

Result<ValidateJWTSVIDResponse> Answers::validate_jwt_svid(const Peer& peer, const ValidateJWTSVIDRequest& request) {
  std::vector<std::string> audience{request.audience()};
  MEZ_CHECK(spiffe::check_audiences(audience));
  if (request.svid().empty()) return fail(ErrorCode::kInvalidArgument, "the request has no token");
  MEZ_TRY(Entitled entitled, this->entitled(peer));
  const spiffe::Bundle& bundle = entitled.state->bundle;
  auto good =
      spiffe::verify_jwt_svid(request.svid(), bundle.trust_domain, bundle.jwt, request.audience(), clock_.now());
  // Workload API §6.2.3: the request is what is wrong with a token that is not good, not the caller.
  if (!good) return fail(ErrorCode::kInvalidArgument, "{}", good.error().message);
  ValidateJWTSVIDResponse response;
  response.set_spiffe_id(good->subject.text());
  if (!google::protobuf::util::JsonStringToMessage(good->claims_json, response.mutable_claims()).ok()) {
    return fail(ErrorCode::kInvalidArgument, "the token's claims can't be told");
  }
  return response;
}

}  // namespace mezite::agent
