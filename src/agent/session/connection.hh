// One user's SSH connection: authentication, what it may open, what ends it. Internal to session/.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "agent/process/login_user.hh"
#include "agent/session/context.hh"
#include "net/ssh_link.hh"
#include "ssh/endpoint/server.hh"

namespace mezite::agent {

class SessionChannel;

// What is known once the user is in; shared with the sessions, which may live a little longer than the connection.
struct Visitor {
  Principal principal;
  LoginUser login_user;
  net::Address client;
  net::Address server;
  std::string client_software;
};

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

  void on_auth_request(const ssh::AuthRequest& request, ssh::AuthResponder responder) override;
  void on_auth_refused(const ssh::AuthRequest& request, std::string_view why) override;
  void on_authenticated(const ssh::PeerIdentity& identity) override;
  void on_channel_open(const ssh::ChannelOpen& open, ssh::ChannelOpenResponder responder) override;
  void on_closed(const Error& error) override;

 private:
  void admit_certificate(const ssh::AuthRequest& request, ssh::AuthResponder responder);
  void look_up_login(Principal principal, std::string client_software, ssh::AuthResponder responder);
  void deny(const Denial& denial, std::string_view login);
  void note_once(const Denial& denial, std::string_view login);
  void open_session(ssh::ChannelOpenResponder responder);
  void open_forward(const ssh::DirectTcpipOpen& open, ssh::ChannelOpenResponder responder);
  void refuse_channel(const Denial& denial, ssh::ChannelOpenResponder responder);
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
  std::shared_ptr<int> forwards_ = std::make_shared<int>(0);  // its use count less one: forwarded connections
  unsigned denied_channels_ = 0;
  bool noted_ = false;
  bool closed_ = false;
  net::TimerId expiry_{};
  net::TimerId idle_{};
  SteadyTime last_forward_;
  std::unique_ptr<net::SshLink> link_;  // last: the endpoint in it goes before all that it may call
  ssh::ServerEndpoint* endpoint_ = nullptr;
};

}  // namespace mezite::agent
