// The API of agents: joining with a token, everything else by client certificate.
#include <functional>
#include <map>

#include "auth/rpc/refusals.hh"
#include "auth/rpc/sealed.hh"
#include "auth/rpc/services_of_grpc.hh"
#include "auth/rpc/workloads.hh"
#include "auth/use/iam_join.hh"
#include "auth/use/node.hh"
#include "auth/use/session_data.hh"
#include "auth/use/workload.hh"
#include "base/text.hh"
#include "mezite/v1/agent.grpc.pb.h"

namespace mezite::auth::rpc {
namespace {

constexpr std::size_t kMaxJoinBytes = 64 << 10;
constexpr int kMaxStsHeaders = 16;

void put_trust(const pki::TrustBundle& trust, v1::TrustBundle& out) {
  out.set_revision(trust.revision);
  for (const ssh::PublicKey& key : trust.user_cas) out.add_user_ca_keys(key.to_text());
  for (const ssh::PublicKey& key : trust.host_cas) out.add_host_ca_keys(key.to_text());
  for (const crypto::X509Certificate& ca : trust.host_x509) out.add_host_ca_x509_pem(ca.to_pem());
  for (const crypto::X509Certificate& ca : trust.spiffe_x509) out.add_spiffe_ca_x509_pem(ca.to_pem());
  for (const spiffe::JwtKey& key : trust.spiffe_jwt) {
    out.add_spiffe_jwt_keys()->set_public_key_der(to_text(key.key.spki()));
  }
}

void put(const NodeCertificates& certificates, v1::CertificateBundle& out) {
  out.set_ssh_host_certificate(certificates.ssh_host_certificate);
  out.set_x509_pem(certificates.x509_pem);
  put_trust(certificates.trust, *out.mutable_trust());
}

// Refers to the request.
JoinOrder order_of(const v1::JoinRequest& request) {
  JoinOrder order{.token = request.token(), .node_name = request.node_name(), .hostname = request.hostname()};
  order.version = request.version();
  for (const auto& [key, value] : request.labels()) order.labels[key] = value;
  order.ssh_public_key = request.ssh_public_key();
  order.tls_public_key_spki = as_bytes(request.tls_public_key_der());
  return order;
}

void put(const Services& services, const JoinedNode& node, v1::JoinResponse& response) {
  response.set_node_id(node.node_id);
  response.set_cluster_name(services.cluster_name());
  put(node.certificates, *response.mutable_certificates());
}

Status join(Services& services, const Call& call, const v1::JoinRequest& request, v1::JoinResponse& response) {
  MEZ_TRY(JoinedNode node, join_node(services, order_of(request), call.caller.client_ip));
  put(services, node, response);
  return {};
}

Status give_challenge(IamJoins& joins, v1::JoinChallenge& response) {
  MEZ_TRY(IamJoins::Challenge challenge, joins.challenge());
  response.set_challenge(challenge.challenge);
  response.set_sts_host(challenge.sts_host);
  response.set_sts_region(challenge.sts_region);
  return {};
}

Status join_with_iam(Services& services, IamJoins& joins, const Call& call, const v1::IamJoinRequest& request,
                     v1::JoinResponse& response) {
  v1::JoinRequest inner;
  if (request.request().size() > kMaxJoinBytes || !inner.ParseFromString(request.request())) {
    return fail(ErrorCode::kInvalidArgument, "the request to join can't be read; is mezd of the hub's version?");
  }
  const v1::SignedStsRequest& given = request.sts();
  if (given.headers_size() > kMaxStsHeaders) return fail(ErrorCode::kInvalidArgument, "too many headers for AWS STS");
  aws::CallerIdentityRequest sts{.method = given.method(), .path = given.path(), .body = given.body(), .headers = {}};
  for (const v1::HttpHeader& header : given.headers()) sts.headers.emplace_back(header.name(), header.value());
  MEZ_TRY(JoinedNode node, joins.join(order_of(inner), as_bytes(request.request()), sts, call.caller.client_ip));
  put(services, node, response);
  return {};
}

Status renew(Services& services, const Call& call, const v1::RenewRequest& request, v1::CertificateBundle& response) {
  MEZ_TRY(NodeCertificates certificates,
          renew_node(services, call.caller, request.ssh_public_key(), as_bytes(request.tls_public_key_der())));
  put(certificates, response);
  return {};
}

Status snapshot(Services& services, const Call& call, const v1::GetSnapshotRequest&, v1::Snapshot& response) {
  MEZ_TRY(DecisionBasis basis, decision_basis(services));
  MEZ_TRY(std::vector<identity::Workload> workloads, workloads_of_node(services, call.caller.name));
  for (const identity::Workload& one : workloads) put_workload(one, *response.add_workloads());
  response.set_revision(basis.revision);
  put_trust(services.authority->trust_bundle(), *response.mutable_trust());
  for (const std::string& role : basis.roles_json) response.add_roles_json(role);
  for (const identity::Lock& lock : basis.locks) {
    v1::SnapshotLock* out = response.add_locks();
    out->set_kind(lock.kind);
    out->set_name(lock.name);
    out->set_message(lock.message);
    out->set_expires_at_ms(lock.expires_at ? to_unix_millis(*lock.expires_at) : 0);
  }
  for (std::uint64_t serial : basis.revoked.serials) response.mutable_revoked()->add_serials(serial);
  for (const std::string& id : basis.revoked.key_ids) response.mutable_revoked()->add_key_ids(id);
  response.set_recording_mode(std::string(name_of(services.config.recording.mode)));
  for (const std::string& recipient : services.config.recording.recipients) {
    response.add_recording_recipients(recipient);
  }
  response.set_recording_key(to_text(services.recording_key.recipient()));
  response.set_cluster_name(services.cluster_name());
  return {};
}

Status emit(Services& services, const Call& call, const v1::EmitEventsRequest& request,
            v1::EmitEventsResponse& response) {
  std::vector<std::string_view> events(request.events_json().begin(), request.events_json().end());
  MEZ_TRY(EmittedEvents emitted, emit_agent_events(services, call.caller, events));
  response.set_stored(static_cast<std::int32_t>(emitted.stored));
  for (const RefusedEvent& refused : emitted.refused) {
    v1::RefusedEvent* out = response.add_refused();
    out->set_index(static_cast<std::int32_t>(refused.index));
    out->set_problem(printable(refused.problem));
  }
  return {};
}

Status put_chunk(Services& services, const Call& call, const v1::PutRecordingChunkRequest& request,
                 v1::PutRecordingChunkResponse& response) {
  if (request.offset() < 0) return fail(ErrorCode::kInvalidArgument, "the offset may not be negative");
  recording::PutRequest put{.session_id = request.session_id(), .offset = static_cast<std::uint64_t>(request.offset())};
  put.data = as_bytes(request.data());
  put.last = request.last();
  put.sha256 = as_bytes(request.sha256());
  put.header_json = request.header_json();
  MEZ_TRY(recording::PutReceipt receipt, put_recording_chunk(services, call.caller, put));
  response.set_size(static_cast<std::int64_t>(receipt.size));
  response.set_verified(receipt.verified);
  return {};
}

class AgentService final : public v1::AgentService::CallbackService {
 public:
  AgentService(Services& services, Dispatcher& dispatcher, std::shared_ptr<HubCertificates> certificates)
      : services_(services),
        dispatcher_(dispatcher),
        iam_joins_(services),
        sealed_calls_(services, std::move(certificates)),
        refusals_(services) {
    add_sealed<v1::JoinRequest, v1::JoinResponse>("Join", Policy::new_agent(), join);
    add_sealed<v1::GetJoinChallengeRequest, v1::JoinChallenge>(
        "GetJoinChallenge", Policy::new_agent(), [this](Services&, const Call&, const auto&, v1::JoinChallenge& out) {
          return give_challenge(iam_joins_, out);
        });
    add_sealed<v1::IamJoinRequest, v1::JoinResponse>(
        "JoinWithIam", Policy::new_agent(),
        [this](Services& all, const Call& from, const v1::IamJoinRequest& in, v1::JoinResponse& out) {
          return join_with_iam(all, iam_joins_, from, in, out);
        });
    add_sealed<v1::RenewRequest, v1::CertificateBundle>("Renew", Policy::agent(), renew);
    add_sealed<v1::GetSnapshotRequest, v1::Snapshot>("GetSnapshot", Policy::agent(), snapshot);
    add_sealed<v1::EmitEventsRequest, v1::EmitEventsResponse>("EmitEvents", Policy::agent(), emit);
    add_sealed<v1::PutRecordingChunkRequest, v1::PutRecordingChunkResponse>("PutRecordingChunk", Policy::agent(),
                                                                            put_chunk);
    add_sealed<v1::IssueX509SvidRequest, v1::IssueX509SvidResponse>("IssueWorkloadX509", Policy::agent(),
                                                                    issue_workload_x509);
    add_sealed<v1::IssueJwtSvidRequest, v1::IssueJwtSvidResponse>("IssueWorkloadJwt", Policy::agent(),
                                                                  issue_workload_jwt);
  }

#define MEZ_RPC(method, Request, Response, policy, handler)                                          \
  grpc::ServerUnaryReactor* method(grpc::CallbackServerContext* context, const v1::Request* request, \
                                   v1::Response* response) override {                                \
    return dispatcher_.run(context, #method, policy, [this, request, response](const Call& call) {   \
      return handler(services_, call, *request, *response);                                          \
    });                                                                                              \
  }

  MEZ_RPC(Join, JoinRequest, JoinResponse, Policy::new_agent(), join)
  MEZ_RPC(GetJoinChallenge, GetJoinChallengeRequest, JoinChallenge, Policy::new_agent(),
          [this](Services&, const Call&, const v1::GetJoinChallengeRequest&, v1::JoinChallenge& out) {
            return give_challenge(iam_joins_, out);
          })
  MEZ_RPC(JoinWithIam, IamJoinRequest, JoinResponse, Policy::new_agent(),
          [this](Services& services, const Call& from, const v1::IamJoinRequest& in, v1::JoinResponse& out) {
            return join_with_iam(services, iam_joins_, from, in, out);
          })
  MEZ_RPC(Renew, RenewRequest, CertificateBundle, Policy::agent(), renew)
  MEZ_RPC(GetSnapshot, GetSnapshotRequest, Snapshot, Policy::agent(), snapshot)
  MEZ_RPC(EmitEvents, EmitEventsRequest, EmitEventsResponse, Policy::agent(), emit)
  MEZ_RPC(PutRecordingChunk, PutRecordingChunkRequest, PutRecordingChunkResponse, Policy::agent(), put_chunk)
  MEZ_RPC(IssueWorkloadX509, IssueX509SvidRequest, IssueX509SvidResponse, Policy::agent(), issue_workload_x509)
  MEZ_RPC(IssueWorkloadJwt, IssueJwtSvidRequest, IssueJwtSvidResponse, Policy::agent(), issue_workload_jwt)
  MEZ_RPC(Sealed, SealedCall, SealedAnswer, Policy::sealed(),
          [this](Services&, const Call& from, const v1::SealedCall& in, v1::SealedAnswer& out) {
            return run_sealed(from, in, out);
          })

#undef MEZ_RPC

 private:
  // What one of the methods above does, on bytes.
  struct SealedMethod {
    Policy policy;
    std::function<Status(const Call&, const std::string&, std::string&)> run;
  };
  template <class Request, class Response, class Handler>
  void add_sealed(std::string name, Policy policy, Handler handler) {
    auto run = [this, handler](const Call& call, const std::string& bytes, std::string& out) -> Status {
      Request request;
      Response response;
      if (!request.ParseFromString(bytes)) return fail(ErrorCode::kInvalidArgument, "the request can't be read");
      MEZ_CHECK(handler(services_, call, request, response));
      out = response.SerializeAsString();
      return {};
    };
    sealed_methods_.emplace(std::move(name), SealedMethod{policy, std::move(run)});
  }

  Status run_sealed(const Call& call, const v1::SealedCall& sealed, v1::SealedAnswer& answer) {
    Result<SealedCalls::Opened> opened = sealed_calls_.open(sealed, call.caller.client_ip);
    if (!opened) return refuse(call, sealed, opened.error());
    auto method = sealed_methods_.find(opened->method);
    if (method == sealed_methods_.end()) {
      return fail(ErrorCode::kInvalidArgument, "there is no such call; is mezd of the hub's version?");
    }
    net::Admission::Pass stranger;
    if (method->second.policy.who == Policy::Who::kAgent) {
      if (opened->caller.kind != Caller::Kind::kAgent) {
        return refuse(
            call, sealed,
            fail(ErrorCode::kUnauthenticated, "this call needs an agent's signature; join the node first").error());
      }
    } else {
      MEZ_TRY(stranger, services_.anonymous_calls.admit({call.caller.client_ip, 0}));
    }
    std::string response;
    MEZ_CHECK(method->second.run(call.as(opened->caller), sealed.request(), response));
    return sealed_calls_.seal(sealed, std::move(response), answer);
  }

  Status refuse(const Call& call, const v1::SealedCall& sealed, Error why) {
    refusals_.tell(SealedCalls::claimed_node(sealed), call.caller.client_ip, why);
    return std::unexpected(std::move(why));
  }

  Services& services_;
  Dispatcher& dispatcher_;
  IamJoins iam_joins_;
  SealedCalls sealed_calls_;
  Refusals refusals_;
  std::map<std::string, SealedMethod, std::less<>> sealed_methods_;
};

}  // namespace

std::unique_ptr<grpc::Service> make_agent_service(Services& services, Dispatcher& dispatcher,
                                                  std::shared_ptr<HubCertificates> certificates) {
  return std::make_unique<AgentService>(services, dispatcher, std::move(certificates));
}

}  // namespace mezite::auth::rpc
