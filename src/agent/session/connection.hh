// One user's SSH connection: authentication, what it may open, what ends it. Internal to session/.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "agent/session/context.hh"
#include "agent/session/forwards.hh"
#include "agent/session/visitor.hh"
#include "net/ssh_link.hh"
#include "ssh/endpoint/server.hh"

namespace mezite::agent {

class SessionChannel;

// What a user may want of a node. Each is asked about when something is opened, not only once.
enum class Right { kSession, kPorts, kAgent, kX11 };

class Connection : public ssh::ServerHandler, public std::enable_shared_from_this<Connection> {
 public:
  Connection(std::shared_ptr<ServerContext> context, net::Shard& shard, net::Address client);
  ~Connection() override;

  std::uint64_t id() const { return id_; }
  net::Shard& shard() const { return shard_; }

  // The rest on the shard.
  void start(UniqueFd fd, Bytes first_bytes);
  void recheck();
  void terminate(std::string_view session_id, std::string_view reason);

  // ---- for the sessions
  // Whether that may be opened now: the certificate's time, locks and roles in force, the right itself. Every way in
  // asks here (The Bastion CVE-2023-45140).
  std::optional<Denial> check(Right right, std::string_view what);
  const std::shared_ptr<const Visitor>& visitor() const { return visitor_; }
  const std::shared_ptr<Forwards>& forwards() const { return forwards_; }
  // Writes the denial to the audit log, or not when one for this right is there; gives the text for the user.
  std::string note_denial(const Denial& denial, std::string_view session_id);
  // What could not be said before there was a session to show it.
  std::vector<std::string> take_notices() { return std::exchange(notices_, {}); }

  void on_auth_request(const ssh::AuthRequest& request, ssh::AuthResponder responder) override;
  void on_auth_refused(const ssh::AuthRequest& request, std::string_view why) override;
  void on_authenticated(const ssh::PeerIdentity& identity) override;
  void on_channel_open(const ssh::ChannelOpen& open, ssh::ChannelOpenResponder responder) override;
  void on_global_request(const ssh::GlobalRequest& request, ssh::GlobalRequestResponder responder) override;
  void on_closed(const Error& error) override;

 private:
  void admit_certificate(const ssh::AuthRequest& request, ssh::AuthResponder responder);
  void look_up_login(Principal principal, std::string client_software, ssh::AuthResponder responder);
  void deny(const Denial& denial, std::string_view login);
  void note_once(const Denial& denial, std::string_view login);
  void open_session(ssh::ChannelOpenResponder responder);
  std::optional<Denial> look_again();
  void count_denial();
  void notice(std::string text);
  void refuse_channel(const Denial& denial, ssh::ChannelOpenResponder responder,
                      ssh::OpenFailure failure = ssh::OpenFailure::kAdministrativelyProhibited);
  void watch_expiry();
  void watch_idle();
  void end(std::string_view text);

  const std::uint64_t id_;
  std::shared_ptr<ServerContext> context_;
  net::Shard& shard_;
  const net::Address client_;
  net::Address server_address_;
  std::shared_ptr<Visitor> candidate_;      // proven and admitted; the endpoint has not said so yet
  std::shared_ptr<const Visitor> visitor_;  // who is in
  std::vector<std::weak_ptr<SessionChannel>> sessions_;
  std::shared_ptr<Forwards> forwards_;
  std::shared_ptr<const Snapshot> looked_at_;  // what visitor_ was decided with
  std::shared_ptr<const NodeFacts> looked_at_node_;
  unsigned denials_ = 0;
  std::vector<std::string> denied_rights_;  // reasons that session requests were denied for, each told once
  std::vector<std::string> notices_;
  bool noted_ = false;
  bool closed_ = false;
  net::TimerId expiry_{};
  net::TimerId idle_{};
  SteadyTime last_forward_;
  std::uint64_t forwarded_bytes_ = 0;
  std::unique_ptr<net::SshLink> link_;  // last: the endpoint in it goes before all that it may call
  ssh::ServerEndpoint* endpoint_ = nullptr;
};

}  // namespace mezite::agent
