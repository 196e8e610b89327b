#include "agent/hub/hub_api.hh"

#include <grpcpp/grpcpp.h>

#include <atomic>
#include <functional>
#include <set>

#include "agent/hub/sealer.hh"
#include "agent/settings/version.hh"
#include "aws/sts.hh"
#include "base/log.hh"
#include "base/text.hh"
#include "crypto/hash.hh"
#include "mezite/v1/agent.grpc.pb.h"

namespace mezite::agent {
namespace {

constexpr std::chrono::seconds kCallLimit{20};
constexpr std::chrono::seconds kConnectLimit{3};
constexpr std::chrono::seconds kUploadLimit{60};
constexpr std::chrono::seconds kProbeLimit{5};
constexpr int kMaxMessageBytes = 32 << 20;

ErrorCode code_of(grpc::StatusCode code) {
  switch (code) {
    case grpc::StatusCode::INVALID_ARGUMENT: return ErrorCode::kInvalidArgument;
    case grpc::StatusCode::NOT_FOUND: return ErrorCode::kNotFound;
    case grpc::StatusCode::ALREADY_EXISTS: return ErrorCode::kAlreadyExists;
    case grpc::StatusCode::PERMISSION_DENIED: return ErrorCode::kPermissionDenied;
    case grpc::StatusCode::UNAUTHENTICATED: return ErrorCode::kUnauthenticated;
    case grpc::StatusCode::FAILED_PRECONDITION:
    case grpc::StatusCode::OUT_OF_RANGE: return ErrorCode::kFailedPrecondition;
    case grpc::StatusCode::RESOURCE_EXHAUSTED: return ErrorCode::kResourceExhausted;
    case grpc::StatusCode::DEADLINE_EXCEEDED: return ErrorCode::kTimeout;
    case grpc::StatusCode::DATA_LOSS: return ErrorCode::kCorrupt;
    case grpc::StatusCode::INTERNAL:
    case grpc::StatusCode::UNIMPLEMENTED: return ErrorCode::kInternal;
    default: return ErrorCode::kUnavailable;
  }
}

std::shared_ptr<grpc::Channel> make_channel(const net::HostPort& hub, const grpc::SslCredentialsOptions& tls,
                                            const std::string& server_name) {
  grpc::ChannelArguments arguments;
  if (!server_name.empty()) arguments.SetSslTargetNameOverride(server_name);
  arguments.SetMaxReceiveMessageSize(kMaxMessageBytes);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, 60'000);
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 10'000);  // which is how long a handshake may take
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 200);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 5'000);
  // Agents of one machine (and a join after a failed one) must not share connections: they are different peers.
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  return grpc::CreateCustomChannel(hub.text(), grpc::SslCredentials(tls), arguments);
}

Trust read_trust(const v1::TrustBundle& bundle) {
  Trust trust;
  trust.user_cas.assign(bundle.user_ca_keys().begin(), bundle.user_ca_keys().end());
  trust.host_cas.assign(bundle.host_ca_keys().begin(), bundle.host_ca_keys().end());
  trust.spiffe_cas_pem.assign(bundle.spiffe_ca_x509_pem().begin(), bundle.spiffe_ca_x509_pem().end());
  trust.revision = bundle.revision();
  trust.host_cas_pem.assign(bundle.host_ca_x509_pem().begin(), bundle.host_ca_x509_pem().end());
  return trust;
}

CertificateTexts read_certificates(const v1::CertificateBundle& bundle) {
  return {.ssh_host_certificate = bundle.ssh_host_certificate(),
          .x509_pem = bundle.x509_pem(),
          .trust = read_trust(bundle.trust())};
}

std::string spki_of(const AgentKeys& keys) { return to_text(keys.tls_key.public_key().spki()); }

Error error_of(const grpc::Status& status, const net::HostPort& hub, std::string_view doing) {
  ErrorCode code = code_of(status.error_code());
  std::string cause = printable(status.error_message());
  if (code == ErrorCode::kUnavailable || code == ErrorCode::kTimeout) {
    return {code, fmt::format("{}: the hub at {} can't be reached: {}", doing, hub.text(), cause)};
  }
  return {code, fmt::format("{}: the hub at {} says: {}", doing, hub.text(), cause)};
}

Result<std::vector<ssh::PublicKey>> parse_keys(const std::vector<std::string>& lines) {
  std::vector<ssh::PublicKey> keys;
  for (const std::string& line : lines) {
    MEZ_TRY(ssh::PublicKey key, ssh::PublicKey::from_text(line));
    keys.push_back(std::move(key));
  }
  return keys;
}

Result<Lock> parse_lock(const v1::SnapshotLock& lock) {
  Lock out{.name = lock.name(), .message = lock.message()};
  if (lock.kind() == "user")
    out.kind = Lock::Kind::kUser;
  else if (lock.kind() == "role")
    out.kind = Lock::Kind::kRole;
  else if (lock.kind() == "node")
    out.kind = Lock::Kind::kNode;
  else if (lock.kind() == "login")
    out.kind = Lock::Kind::kLogin;
  else
    return fail(ErrorCode::kProtocol, "a lock of kind '{}', which this agent does not know", printable(lock.kind()));
  if (lock.expires_at_ms() != 0) out.expires_at = from_unix_millis(lock.expires_at_ms());
  return out;
}

Result<Snapshot> parse_snapshot(const v1::Snapshot& message) {
  Snapshot snapshot;
  snapshot.revision = message.revision();
  snapshot.cluster_name = message.cluster_name();
  Trust trust = read_trust(message.trust());
  MEZ_TRY(snapshot.user_cas, parse_keys(trust.user_cas));
  MEZ_TRY(snapshot.host_cas, parse_keys(trust.host_cas));
  std::vector<std::string> documents(message.roles_json().begin(), message.roles_json().end());
  MEZ_TRY(snapshot.roles, access::RoleSet::parse(documents));
  for (const v1::SnapshotLock& lock : message.locks()) {
    // One that can't be read might be meant for somebody who is here: the whole snapshot is refused.
    MEZ_TRY(Lock parsed, parse_lock(lock));
    snapshot.locks.push_back(std::move(parsed));
  }
  snapshot.revoked_serials.insert(message.revoked().serials().begin(), message.revoked().serials().end());
  snapshot.revoked_key_ids.insert(message.revoked().key_ids().begin(), message.revoked().key_ids().end());
  if (message.recording_mode() == "off")
    snapshot.recording_mode = RecordingMode::kOff;
  else if (message.recording_mode() == "node-sync")
    snapshot.recording_mode = RecordingMode::kNodeSync;
  for (const std::string& text : message.recording_recipients()) {
    // Recording in clear what was to be encrypted is no way out: the whole snapshot is refused.
    MEZ_TRY(recording::Recipient recipient, recording::parse_recipient(text));
    snapshot.recording_recipients.push_back(recipient);
  }
  MEZ_TRY(snapshot.recording_key, recording::parse_recipient(message.recording_key()));
  return snapshot;
}

// One that can't be read is left out: it gives nobody anything.
WorkloadState parse_workloads(const v1::Snapshot& message) {
  WorkloadState state;
  state.revision = message.revision();
  state.bundle.trust_domain = message.cluster_name();
  state.bundle.sequence = message.trust().revision();
  for (const std::string& pem : message.trust().spiffe_ca_x509_pem()) {
    if (auto ca = crypto::X509Certificate::from_pem(pem)) state.bundle.x509.push_back(std::move(*ca));
  }
  for (const v1::JwtKey& key : message.trust().spiffe_jwt_keys()) {
    auto parsed = crypto::VerifyingKey::from_spki(as_bytes(key.public_key_der()));
    if (!parsed) continue;
    if (auto jwt = spiffe::JwtKey::of(std::move(*parsed))) state.bundle.jwt.push_back(std::move(*jwt));
  }
  for (const v1::WorkloadIdentity& one : message.workloads()) {
    auto id = spiffe::Id::parse(one.spiffe_id());
    auto selectors = spiffe::Selectors::parse({one.selectors().begin(), one.selectors().end()});
    if (!id || !selectors) {
      log::warn("a workload identity of the hub's can't be used", {{"spiffe_id", printable(one.spiffe_id())}});
      continue;
    }
    state.registrations.push_back(
        {.id = one.id(), .spiffe_id = std::move(*id), .selectors = std::move(*selectors), .hint = one.hint()});
  }
  return state;
}

using Stub = v1::AgentService::Stub;

// As it is, or, with a sealer, signed and with an answer that is believed for its own signature.
template <class Request, class Response>
grpc::Status call_hub(Stub& stub, const Sealer* sealer, grpc::ClientContext* context, const char* method,
                      grpc::Status (Stub::*direct)(grpc::ClientContext*, const Request&, Response*),
                      const Request& request, Response* response) {
  if (!sealer) return (stub.*direct)(context, request, response);
  Result<v1::SealedCall> call = sealer->seal(method, request.SerializeAsString());
  if (!call) return {grpc::StatusCode::INTERNAL, call.error().message};
  v1::SealedAnswer answer;
  grpc::Status status = stub.Sealed(context, *call, &answer);
  if (!status.ok()) return status;
  Result<std::string> opened = sealer->open(*call, answer);
  if (!opened) return {grpc::StatusCode::UNAUTHENTICATED, opened.error().message};
  if (!response->ParseFromString(*opened)) return {grpc::StatusCode::INTERNAL, "its answer can't be read"};
  return grpc::Status::OK;
}

// Asks for a challenge and signs, with it, what is asked for: other keys, names or labels in the same request, or
// another hub, would need another signature.
Result<grpc::Status> join_with_iam(Stub& stub, const Sealer* sealer, const JoinOrder& order,
                                   const v1::JoinRequest& request, v1::JoinResponse& response) {
  MEZ_TRY(aws::Credentials credentials, order.iam->get());
  v1::JoinChallenge challenge;
  {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + kCallLimit);
    grpc::Status status = call_hub(stub, sealer, &context, "GetJoinChallenge", &Stub::GetJoinChallenge,
                                   v1::GetJoinChallengeRequest(), &challenge);
    if (!status.ok()) return status;
  }
  v1::IamJoinRequest wire;
  wire.set_request(request.SerializeAsString());
  std::string statement =
      fmt::format("{} {} {}", challenge.challenge(), order.pin, to_hex(crypto::sha256(as_bytes(wire.request()))));
  MEZ_TRY(aws::CallerIdentityRequest sts,
          aws::sign_caller_identity(credentials, challenge.sts_host(), challenge.sts_region(), statement,
                                    system_clock().now()));
  wire.mutable_sts()->set_method(sts.method);
  wire.mutable_sts()->set_path(sts.path);
  wire.mutable_sts()->set_body(sts.body);
  for (const auto& [name, value] : sts.headers) {
    v1::HttpHeader* header = wire.mutable_sts()->add_headers();
    header->set_name(name);
    header->set_value(value);
  }
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + kCallLimit);
  return call_hub(stub, sealer, &context, "JoinWithIam", &Stub::JoinWithIam, wire, &response);
}

Result<AgentIdentity> join_by(Stub& stub, const Sealer* sealer, const net::HostPort& hub, const JoinOrder& order,
                              AgentKeys keys) {
  v1::JoinRequest request;
  request.set_token(std::string(order.token));
  request.set_node_name(order.node_name);
  request.set_hostname(order.hostname);
  request.set_version(version());
  for (const auto& [name, value] : order.labels) (*request.mutable_labels())[name] = value;
  request.set_ssh_public_key(keys.host_key.public_key().to_text());
  request.set_tls_public_key_der(spki_of(keys));
  v1::JoinResponse response;
  grpc::Status status;
  if (order.iam) {
    MEZ_TRY(status, join_with_iam(stub, sealer, order, request, response));
  } else {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + kCallLimit);
    status = call_hub(stub, sealer, &context, "Join", &Stub::Join, request, &response);
  }
  wipe(*request.mutable_token());
  if (!status.ok()) return std::unexpected(error_of(status, hub, "joining"));
  return make_identity(response.node_id(), order.node_name, response.cluster_name(), std::move(keys),
                       read_certificates(response.certificates()));
}

}  // namespace

Result<AgentIdentity> join_hub(const net::HostPort& hub, const PinnedHub& pinned, const JoinOrder& order,
                               AgentKeys keys) {
  grpc::SslCredentialsOptions tls;
  tls.pem_root_certs = pinned.ca_pem;
  auto stub = v1::AgentService::NewStub(make_channel(hub, tls, pinned.server_name));
  return join_by(*stub, nullptr, hub, order, std::move(keys));
}

Result<AgentIdentity> join_hub_through(const net::HostPort& balancer, const std::string& balancer_roots,
                                       const std::vector<std::string>& pins, const JoinOrder& order, AgentKeys keys) {
  grpc::SslCredentialsOptions tls;
  tls.pem_root_certs = balancer_roots;
  auto stub = v1::AgentService::NewStub(make_channel(balancer, tls, ""));
  Sealer sealer = Sealer::before_join(pins);
  return join_by(*stub, &sealer, balancer, order, std::move(keys));
}

// A channel with one set of credentials, and the calls that run on it.
struct HubApi::Connection {
  std::shared_ptr<grpc::Channel> channel;
  std::unique_ptr<v1::AgentService::Stub> stub;
  std::vector<crypto::X509Certificate> roots;
  std::string cluster_name;
  std::optional<Sealer> sealer;  // behind a load balancer that ends TLS
  std::mutex mutex;
  std::set<grpc::ClientContext*> running;
  bool ended = false;

  template <class Response>
  grpc::Status call(std::chrono::seconds limit,
                    const std::function<grpc::Status(grpc::ClientContext*, Response*)>& method, Response& response) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + limit);
    {
      std::lock_guard lock(mutex);
      if (ended) return {grpc::StatusCode::UNAVAILABLE, "the agent is stopping"};
      running.insert(&context);
    }
    await_channel();
    grpc::Status status = method(&context, &response);
    std::lock_guard lock(mutex);
    running.erase(&context);
    return status;
  }

  template <class Request, class Response>
  grpc::Status call(const char* method, std::chrono::seconds limit,
                    grpc::Status (Stub::*direct)(grpc::ClientContext*, const Request&, Response*),
                    const Request& request, Response& response) {
    return call<Response>(
        limit,
        [&](grpc::ClientContext* context, Response* out) {
          return call_hub(*stub, sealer ? &*sealer : nullptr, context, method, direct, request, out);
        },
        response);
  }

  // A channel makes progress with its handshake only while somebody waits for it, and a call that fails at once does
  // not: without this a channel that has lost its hub would find it again by luck. A call on a channel that is not
  // there when the wait is over fails at once and says why.
  void await_channel() {
    const auto limit = std::chrono::steady_clock::now() + kConnectLimit;
    while (channel->GetState(true) != GRPC_CHANNEL_READY && std::chrono::steady_clock::now() < limit) {
      if (std::lock_guard lock(mutex); ended) return;
      channel->WaitForConnected(std::chrono::system_clock::now() + std::chrono::milliseconds(200));
    }
  }

  void end() {
    std::lock_guard lock(mutex);
    ended = true;
    for (grpc::ClientContext* context : running) context->TryCancel();
  }
};

HubApi::HubApi(net::HostPort hub, const AgentIdentity& identity, std::string balancer_roots)
    : hub_(std::move(hub)), balancer_roots_(std::move(balancer_roots)) {
  set_identity(identity);
}

HubApi::~HubApi() { shut_down(); }

void HubApi::set_identity(const AgentIdentity& identity) {
  grpc::SslCredentialsOptions tls;
  auto made = std::make_shared<Connection>();
  if (balancer_roots_.empty()) {
    tls.pem_cert_chain = identity.x509_pem;
    if (Result<Secret> key = identity.keys.tls_key.to_pem()) tls.pem_private_key = std::string(key->text());
  } else if (Result<Sealer> sealer = Sealer::of(identity)) {
    made->sealer = std::move(*sealer);
  } else {
    log::error("the agent's own certificate can't be used", {{"error", sealer.error()}});
    made->sealer = Sealer::before_join({});  // trusts no answer
  }
  for (const std::string& pem : identity.trust.host_cas_pem) {
    tls.pem_root_certs += pem;
    if (auto root = crypto::X509Certificate::from_pem(pem)) made->roots.push_back(std::move(*root));
  }
  made->cluster_name = identity.cluster_name;
  if (!balancer_roots_.empty()) tls.pem_root_certs = balancer_roots_;
  made->channel = make_channel(hub_, tls, balancer_roots_.empty() ? identity.cluster_name : "");
  made->stub = v1::AgentService::NewStub(made->channel);
  wipe(tls.pem_private_key);
  std::lock_guard lock(mutex_);
  made->ended = shut_down_;
  connection_ = std::move(made);  // calls that run on the old one end by themselves
}

std::shared_ptr<HubApi::Connection> HubApi::connection() {
  std::lock_guard lock(mutex_);
  return connection_;
}

void HubApi::shut_down() {
  std::shared_ptr<Connection> connection;
  {
    std::lock_guard lock(mutex_);
    shut_down_ = true;
    connection = connection_;
  }
  connection->end();
}

// gRPC says of a certificate that it does not trust no more than that a handshake failed: look for ourselves.
Error HubApi::explain(const std::shared_ptr<Connection>& connection, Error error) {
  if (error.code != ErrorCode::kUnavailable || !balancer_roots_.empty()) return error;
  auto chain = hub_chain(hub_, kProbeLimit);
  if (!chain) return {error.code, chain.error().message};
  Status trusted =
      crypto::verify_x509_chain(*chain, connection->roots, system_clock().now(), crypto::X509Usage::kServer);
  if (trusted) return error;
  return {
      ErrorCode::kUnauthenticated,
      fmt::format("the hub at {} shows a certificate of a Host CA that is not the one pinned when this agent joined "
                  "(pinned: sha256:{}, shown: {}): {}; if that is right, delete MEZITE_DATA_DIR and join again "
                  "with a fresh token",
                  hub_.text(), connection->roots.empty() ? "none" : connection->roots[0].spki_sha256_hex(),
                  shown_pin(*chain), trusted.error().message)};
}

Result<HubApi::Fetched> HubApi::get_snapshot() {
  auto use = connection();
  v1::Snapshot response;
  grpc::Status status = use->call("GetSnapshot", kCallLimit, &Stub::GetSnapshot, v1::GetSnapshotRequest(), response);
  if (!status.ok()) return std::unexpected(explain(use, error_of(status, hub_, "fetching roles and keys")));
  MEZ_TRY(Snapshot snapshot, parse_snapshot(response));
  return Fetched{std::move(snapshot), read_trust(response.trust()), parse_workloads(response)};
}

Result<AgentIdentity> HubApi::renew(const AgentIdentity& identity) {
  auto use = connection();
  v1::RenewRequest request;
  request.set_ssh_public_key(identity.keys.host_key.public_key().to_text());
  request.set_tls_public_key_der(spki_of(identity.keys));
  v1::CertificateBundle response;
  grpc::Status status = use->call("Renew", kCallLimit, &Stub::Renew, request, response);
  if (!status.ok()) return std::unexpected(explain(use, error_of(status, hub_, "renewing certificates")));
  return make_identity(identity.node_id, identity.node_name, identity.cluster_name, identity.keys,
                       read_certificates(response));
}

Result<std::vector<RefusedEvent>> HubApi::emit_events(const std::vector<std::string>& events_json) {
  auto use = connection();
  v1::EmitEventsRequest request;
  for (const std::string& event : events_json) request.add_events_json(event);
  v1::EmitEventsResponse response;
  grpc::Status status = use->call("EmitEvents", kCallLimit, &Stub::EmitEvents, request, response);
  if (!status.ok()) return std::unexpected(error_of(status, hub_, "sending audit events"));
  std::vector<RefusedEvent> refused;
  for (const v1::RefusedEvent& event : response.refused()) {
    refused.push_back({.index = static_cast<std::size_t>(event.index()), .problem = printable(event.problem())});
  }
  return refused;
}

Result<recording::PutReceipt> HubApi::put(const recording::PutRequest& put) {
  auto use = connection();
  v1::PutRecordingChunkRequest request;
  request.set_session_id(std::string(put.session_id));
  request.set_offset(static_cast<std::int64_t>(put.offset));
  request.set_data(put.data.data(), put.data.size());
  request.set_last(put.last);
  request.set_sha256(put.sha256.data(), put.sha256.size());
  request.set_header_json(std::string(put.header_json));
  v1::PutRecordingChunkResponse response;
  grpc::Status status = use->call("PutRecordingChunk", kUploadLimit, &Stub::PutRecordingChunk, request, response);
  if (!status.ok()) return std::unexpected(error_of(status, hub_, "uploading"));
  if (response.size() < 0) return fail(ErrorCode::kProtocol, "the hub at {} answers with a negative size", hub_.text());
  return recording::PutReceipt{.size = static_cast<std::uint64_t>(response.size()), .verified = response.verified()};
}

Result<crypto::X509Certificate> HubApi::issue_x509_svid(const std::string& registration, BytesView public_key_spki) {
  auto use = connection();
  v1::IssueX509SvidRequest request;
  request.set_name(registration);
  request.set_public_key_der(to_text(public_key_spki));
  v1::IssueX509SvidResponse response;
  grpc::Status status = use->call("IssueWorkloadX509", kCallLimit, &Stub::IssueWorkloadX509, request, response);
  if (!status.ok()) return std::unexpected(error_of(status, hub_, "asking for an X509-SVID"));
  return crypto::X509Certificate::from_pem(response.certificate_pem());
}

Result<SvidIssuer::Jwt> HubApi::issue_jwt_svid(const std::string& registration,
                                               const std::vector<std::string>& audiences) {
  auto use = connection();
  v1::IssueJwtSvidRequest request;
  request.set_name(registration);
  for (const std::string& audience : audiences) request.add_audiences(audience);
  v1::IssueJwtSvidResponse response;
  grpc::Status status = use->call("IssueWorkloadJwt", kCallLimit, &Stub::IssueWorkloadJwt, request, response);
  if (!status.ok()) return std::unexpected(error_of(status, hub_, "asking for a JWT-SVID"));
  return Jwt{.token = response.token(), .expires_at = from_unix_millis(response.expires_at_ms())};
}

}  // namespace mezite::agent
