// One user's SSH connection on 3023.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "net/channel_relay.hh"
#include "net/ssh_link.hh"
#include "proxy/context.hh"
#include "proxy/denial.hh"
#include "proxy/reach.hh"
#include "ssh/endpoint/server.hh"

namespace mezite::proxy {

// Lives in Context::live from start() to its end.
class UserConnection final : public ssh::ServerHandler, public std::enable_shared_from_this<UserConnection> {
 public:
  UserConnection(Context& context, net::Shard& shard, net::Address peer, net::Admission::Pass pass,
                 std::shared_ptr<HalfOpen> half);
  ~UserConnection() override;

  void start(UniqueFd fd, Bytes first_bytes);

  void on_auth_request(const ssh::AuthRequest& request, ssh::AuthResponder responder) override;
  void on_auth_refused(const ssh::AuthRequest& request, std::string_view why) override;
  void on_authenticated(const ssh::PeerIdentity& identity) override;
  void on_channel_open(const ssh::ChannelOpen& open, ssh::ChannelOpenResponder responder) override;
  void on_global_request(const ssh::GlobalRequest& request, ssh::GlobalRequestResponder responder) override;
  void on_closed(const Error& error) override;

 private:
  void admit(const ssh::AuthRequest& request, ssh::AuthResponder responder);
  void refuse_for_good(Denial denial);
  void note_unless_admitted(Denial denial);
  void refuse_channel(Denial denial, ssh::ChannelOpenResponder responder);
  void open_node(const ssh::DirectTcpipOpen& open, ssh::ChannelOpenResponder responder);
  void connect(DialTarget target, ssh::ChannelOpenResponder responder);
  void end(std::string_view text);

  Context& context_;
  net::Shard& shard_;
  net::Address peer_;
  net::Admission::Pass pass_;
  std::shared_ptr<HalfOpen> half_;  // until it has authenticated
  LiveSet::Id live_ = 0;
  ssh::ServerEndpoint* endpoint_ = nullptr;  // of link_
  std::unique_ptr<net::SshLink> link_;
  std::optional<Visitor> visitor_;    // set when the certificate was found good
  std::optional<Denial> unadmitted_;  // told at the end, unless another key was let in
  unsigned refusals_ = 0;
  bool admitted_ = false;
  bool told_ = false;
  bool over_ = false;
};

}  // namespace mezite::proxy
