#include "auth/use/workload.hh"

#include <algorithm>

#include "auth/record.hh"
#include "base/text.hh"
#include "spiffe/selector.hh"

namespace mezite::auth {
namespace {

constexpr std::size_t kMaxSpkiBytes = 4096;

audit::Event event_of(const Services& services, const Caller& caller, audit::EventKind kind,
                      const identity::Workload& workload) {
  audit::Event event = event_by(services, caller, kind);
  event.resource_type = "workload_identity";
  event.resource_name = workload.spiffe_id;
  return event;
}

Result<bool> is_for_node(const identity::Workload& workload, const identity::Node& node) {
  MEZ_TRY(spiffe::Selectors selectors, spiffe::Selectors::parse(workload.selectors));
  return selectors.match_node(node.name, node.labels);
}

// A registration that this agent may use. What is wrong is for administrators only: an agent that asks for what is not
// its own learns nothing of what there is elsewhere.
Result<identity::Workload> workload_of_agent(Services& services, const Caller& agent, std::string_view id,
                                             std::string_view type) {
  MEZ_TRY(identity::Node node, services.identity->nodes.get_by_id(agent.name));
  auto found = services.identity->workloads.get_by_id(id);
  if (!found && found.error().code != ErrorCode::kNotFound) return found;
  bool fits = false;
  if (found) {
    MEZ_TRY(fits, is_for_node(*found, node));
  }
  if (fits) return found;
  audit::Event event = event_by(services, agent, audit::EventKind::kWorkloadSvidRefused);
  event.resource_type = "workload_identity";
  event.resource_name = found ? found->spiffe_id : "";
  event.error_message = found ? "the registration is not for this node" : "there is no such registration";
  event.details = audit::Details().add("type", type).add("registration", printable(id.substr(0, 64))).text();
  MEZ_CHECK(record(services, event));
  return fail(ErrorCode::kPermissionDenied, "no workload identity '{}' is registered for this node",
              printable(id.substr(0, 64)));
}

Result<IssuedX509> issue_x509(Services& services, const Caller& caller, const identity::Workload& workload,
                              BytesView public_key_spki) {
  if (public_key_spki.size() > kMaxSpkiBytes) return fail(ErrorCode::kInvalidArgument, "the public key is too long");
  auto key = crypto::VerifyingKey::from_spki(public_key_spki);
  if (!key) return fail(ErrorCode::kInvalidArgument, "the public key is not usable: {}", key.error().message);
  MEZ_TRY(spiffe::Id id, spiffe::Id::parse(workload.spiffe_id));
  // Before anything is signed: the bundle is never newer than what signed.
  std::string bundle = crypto::to_pem(services.authority->trust_bundle().spiffe_x509);
  MEZ_TRY(auto certificate, services.authority->issue_workload_x509({.id = std::move(id),
                                                                     .public_key_spki = key->spki(),
                                                                     .dns_names = workload.dns_names,
                                                                     .ttl = workload.x509_ttl}));
  audit::Event event = event_of(services, caller, audit::EventKind::kWorkloadSvidIssued, workload);
  event.details = audit::Details()
                      .add("type", "x509")
                      .add("serial", certificate.serial_hex())
                      .add("dns_names", workload.dns_names)
                      .add("registration", workload.id)
                      .add("expires_at", to_rfc3339(certificate.not_after()))
                      .text();
  MEZ_CHECK(record(services, event));
  return IssuedX509{.spiffe_id = workload.spiffe_id,
                    .certificate_pem = certificate.to_pem(),
                    .bundle_pem = std::move(bundle),
                    .expires_at = certificate.not_after()};
}

Result<IssuedJwt> issue_jwt(Services& services, const Caller& caller, const identity::Workload& workload,
                            const std::vector<std::string>& audiences) {
  MEZ_CHECK(spiffe::check_audiences(audiences));
  for (const std::string& audience : audiences) {
    const auto& allowed = workload.jwt_audiences;
    if (!allowed.empty() && std::ranges::find(allowed, audience) == allowed.end()) {
      return fail(ErrorCode::kPermissionDenied, "{} may have no token for '{}', only for {}", workload.spiffe_id,
                  printable(audience), join(allowed, ", "));
    }
  }
  MEZ_TRY(spiffe::Id id, spiffe::Id::parse(workload.spiffe_id));
  MEZ_TRY(pki::WorkloadJwt jwt, services.authority->sign_workload_jwt(
                                    {.id = std::move(id), .audiences = audiences, .ttl = workload.jwt_ttl}));
  audit::Event event = event_of(services, caller, audit::EventKind::kWorkloadSvidIssued, workload);
  event.details = audit::Details()
                      .add("type", "jwt")
                      .add("kid", jwt.kid)
                      .add("audiences", audiences)
                      .add("registration", workload.id)
                      .add("expires_at", to_rfc3339(jwt.expires_at))
                      .text();
  MEZ_CHECK(record(services, event));
  return IssuedJwt{.spiffe_id = workload.spiffe_id, .token = std::move(jwt.token), .expires_at = jwt.expires_at};
}

}  // namespace

Result<identity::Workload> register_workload(Services& services, const Caller& caller, identity::NewWorkload workload) {
  workload.created_by = caller.name;
  MEZ_TRY(identity::Workload made, services.identity->workloads.create(std::move(workload)));
  audit::Event event = event_of(services, caller, audit::EventKind::kWorkloadIdentityCreated, made);
  event.details = audit::Details()
                      .add("registration", made.id)
                      .add("selectors", made.selectors)
                      .add("dns_names", made.dns_names)
                      .add("audiences", made.jwt_audiences)
                      .add("x509_ttl", format_duration(made.x509_ttl))
                      .add("jwt_ttl", format_duration(made.jwt_ttl))
                      .text();
  MEZ_CHECK(record(services, event));
  services.announce_revision();
  return made;
}

Status remove_workload(Services& services, const Caller& caller, std::string_view name) {
  MEZ_TRY(identity::Workload removed, services.identity->workloads.remove(name));
  services.announce_revision();
  audit::Event event = event_of(services, caller, audit::EventKind::kWorkloadIdentityDeleted, removed);
  event.details = audit::Details().add("registration", removed.id).add("selectors", removed.selectors).text();
  return record(services, event);
}

Result<std::vector<identity::Workload>> workloads_of_node(Services& services, std::string_view node_id) {
  MEZ_TRY(identity::Node node, services.identity->nodes.get_by_id(node_id));
  MEZ_TRY(std::vector<identity::Workload> all, services.identity->workloads.list());
  std::vector<identity::Workload> out;
  for (identity::Workload& one : all) {
    MEZ_TRY(bool fits, is_for_node(one, node));
    if (fits) out.push_back(std::move(one));
  }
  // A workload with several takes the first for its default (Workload API §5.3): a new one must not become that.
  std::ranges::stable_sort(out, {}, &identity::Workload::created_at);
  return out;
}

Result<IssuedX509> issue_x509_svid(Services& services, const Caller& caller, std::string_view name,
                                   BytesView public_key_spki) {
  MEZ_TRY(identity::Workload workload, services.identity->workloads.get(name));
  return issue_x509(services, caller, workload, public_key_spki);
}

Result<IssuedJwt> issue_jwt_svid(Services& services, const Caller& caller, std::string_view name,
                                 const std::vector<std::string>& audiences) {
  MEZ_TRY(identity::Workload workload, services.identity->workloads.get(name));
  return issue_jwt(services, caller, workload, audiences);
}

Result<IssuedX509> issue_agent_x509_svid(Services& services, const Caller& agent, std::string_view id,
                                         BytesView public_key_spki) {
  MEZ_TRY(identity::Workload workload, workload_of_agent(services, agent, id, "x509"));
  return issue_x509(services, agent, workload, public_key_spki);
}

Result<IssuedJwt> issue_agent_jwt_svid(Services& services, const Caller& agent, std::string_view id,
                                       const std::vector<std::string>& audiences) {
  MEZ_TRY(identity::Workload workload, workload_of_agent(services, agent, id, "jwt"));
  return issue_jwt(services, agent, workload, audiences);
}

}  // namespace mezite::auth
