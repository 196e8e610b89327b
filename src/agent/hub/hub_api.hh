// The gRPC calls of the agent, blocking: for workers and for threads of their own.
#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "agent/hub/hub_tls.hh"
#include "agent/hub/identity.hh"
#include "agent/hub/refused_event.hh"
#include "agent/session/snapshot.hh"
#include "agent/workload/state.hh"
#include "aws/credentials.hh"
#include "net/address.hh"
#include "recording/uploader.hh"

namespace mezite::agent {

struct JoinOrder {
  std::string_view token;       // with iam: "<id>" or "<id>.<pin>"
  aws::CredentialChain* iam{};  // null: the token is a secret. Else who this machine is, for AWS
  std::string_view pin;         // of the Host CA that was looked at: 64 hexadecimal digits; for iam
  std::string node_name;
  std::string hostname;
  access::Labels labels;
};

// Joins a hub that pin_hub() has looked at. kUnauthenticated, kPermissionDenied, kInvalidArgument …: the hub refuses,
// trying again is of no use; kUnavailable and kTimeout: it can't be reached now.
Result<AgentIdentity> join_hub(const net::HostPort& hub, const PinnedHub& pinned, const JoinOrder& order,
                               AgentKeys keys);

// The same through a load balancer that ends TLS: its certificate must lead to one of balancer_roots (PEM), and the
// hub's answers to a Host CA with each of the pins.
Result<AgentIdentity> join_hub_through(const net::HostPort& balancer, const std::string& balancer_roots,
                                       const std::vector<std::string>& pins, const JoinOrder& order, AgentKeys keys);

// As an agent that has joined. Thread-safe. Errors name host, port and cause.
class HubApi final : public recording::UploadTarget, public SvidIssuer {
 public:
  // balancer_roots: PEM of those whose certificates a load balancer shows that ends TLS; calls are sealed then. "":
  // none.
  HubApi(net::HostPort hub, const AgentIdentity& identity, std::string balancer_roots = "");
  ~HubApi() override;

  // New certificates: calls from now on use them.
  void set_identity(const AgentIdentity& identity);

  struct Fetched {
    Snapshot snapshot;
    Trust trust;
    WorkloadState workloads;
  };
  Result<Fetched> get_snapshot();
  // The certificates that take the place of the identity's own.
  Result<AgentIdentity> renew(const AgentIdentity& identity);
  // The events that the hub will never take, whenever they come; the others are stored.
  Result<std::vector<RefusedEvent>> emit_events(const std::vector<std::string>& events_json);
  Result<recording::PutReceipt> put(const recording::PutRequest& request) override;
  Result<crypto::X509Certificate> issue_x509_svid(const std::string& registration, BytesView public_key_spki) override;
  Result<Jwt> issue_jwt_svid(const std::string& registration, const std::vector<std::string>& audiences) override;

  // Ends calls that wait, and all that come.
  void shut_down();

 private:
  struct Connection;
  std::shared_ptr<Connection> connection();
  Error explain(const std::shared_ptr<Connection>& connection, Error error);

  const net::HostPort hub_;
  const std::string balancer_roots_;
  std::mutex mutex_;
  std::shared_ptr<Connection> connection_;
  bool shut_down_ = false;
};

}  // namespace mezite::agent
