#include "ssh/endpoint/server.hh"

#include <utility>

#include "ssh/connection/request_codec.hh"
#include "ssh/endpoint/core.hh"
#include "ssh/endpoint/host_keys.hh"
#include "ssh/userauth/server_auth.hh"

namespace mezite::ssh {

class ServerEndpoint::Impl final : public EndpointCore, public ServerAuthOwner {
 public:
  Impl(std::shared_ptr<const ServerConfig> config, ServerHandler& handler, const Clock& clock)
      : EndpointCore(clock, config->limits, config->keepalive, config->auth_timeout),
        config_(std::move(config)),
        handler_(&handler) {
    if (config_->transport.role != Role::kServer) {
      start(fail(ErrorCode::kInvalidArgument, "a server's transport configuration must have the server's role"));
      return;
    }
    start(Transport::create(std::shared_ptr<const TransportConfig>(config_, &config_->transport), clock, *this));
    if (ended()) return;
    auth_ = std::make_shared<ServerAuth>(
        transport(), ServerAuthSettings{config_->banner, config_->methods, config_->max_attempts, config_->max_offers},
        *this);
  }

  const PeerIdentity* identity() const { return identity_ ? &*identity_ : nullptr; }

 private:
  Status on_auth_packet(BytesView payload) override {
    const auto auth = auth_;
    return auth->on_packet(payload);
  }
  bool is_input_held() const override { return auth_->is_deciding(); }
  void stop_auth() override {
    if (auth_) auth_->stop();
  }
  void report_closed(const Error& error) override {
    if (handler_) handler_->on_closed(error);
  }
  void forget_handler() override { handler_ = nullptr; }

  void on_auth_request(const AuthRequest& request, AuthResponder responder) override {
    const auto keep = shared_from_this();
    handler_->on_auth_request(request, std::move(responder));
  }
  void on_auth_refused(const AuthRequest& request, std::string_view why) override {
    const auto keep = shared_from_this();
    handler_->on_auth_refused(request, why);
  }
  // The answer may come from outside of any call of the driver: the handler may destroy the endpoint all the same.
  void on_auth_success(PeerIdentity identity) override {
    const auto keep = shared_from_this();
    identity_ = std::move(identity);
    begin_connection(Role::kServer);
    if (config_->announce_host_keys) {
      global_request(kHostKeysRequest, announce_host_keys(config_->transport.host_keys), {});
    }
    handler_->on_authenticated(*identity_);
  }
  void on_auth_error(const Error& error) override {
    const bool broke = error.code == ErrorCode::kProtocol;
    transport().disconnect(broke ? DisconnectReason::kProtocolError : DisconnectReason::kByApplication, error.message);
    end(error);
  }
  void on_auth_output() override { touched(); }
  void on_auth_resume() override { release_input(); }

  void on_channel_open(const ChannelOpen& open, ChannelOpenResponder responder) override {
    handler_->on_channel_open(open, std::move(responder));
  }
  void on_global_request(const GlobalRequest& request, GlobalRequestResponder responder) override {
    const auto* other = std::get_if<OtherGlobalRequest>(&request);
    if (other && other->name == kProveHostKeysRequest) return prove(other->payload, std::move(responder));
    handler_->on_global_request(request, std::move(responder));
  }
  // Signatures cost us more than they cost the client: a client asks once.
  void prove(BytesView request, GlobalRequestResponder responder) {
    if (!config_->announce_host_keys || !responder.wants_reply() || std::exchange(proved_, true)) return;
    const auto& host_keys = config_->transport.host_keys;
    const auto proofs = prove_host_keys(host_keys, request, session_id(), transport().algorithms().host_key);
    if (proofs) responder.accept_with(*proofs);
  }

  const std::shared_ptr<const ServerConfig> config_;
  ServerHandler* handler_;  // null once the endpoint is destroyed
  std::shared_ptr<ServerAuth> auth_;
  std::optional<PeerIdentity> identity_;
  bool proved_ = false;
};

ServerEndpoint::ServerEndpoint(std::shared_ptr<const ServerConfig> config, ServerHandler& handler, const Clock& clock)
    : impl_(std::make_shared<Impl>(std::move(config), handler, clock)) {}
ServerEndpoint::~ServerEndpoint() {
  const auto impl = impl_;
  impl->detach();
}

std::span<std::uint8_t> ServerEndpoint::read_space() { return impl_->read_space(); }
void ServerEndpoint::commit_read(std::size_t size) { impl_->commit_read(size); }
void ServerEndpoint::on_stream_end(std::optional<Error> error) { impl_->on_stream_end(std::move(error)); }
BytesView ServerEndpoint::pending_output() const { return impl_->pending_output(); }
void ServerEndpoint::consume_output(std::size_t size) { impl_->consume_output(size); }
std::size_t ServerEndpoint::output_size() const { return impl_->output_size(); }
bool ServerEndpoint::wants_close() const { return impl_->wants_close(); }
const Error* ServerEndpoint::error() const { return impl_->error(); }
std::optional<SteadyTime> ServerEndpoint::next_deadline() const { return impl_->next_deadline(); }
void ServerEndpoint::on_time() { impl_->on_time(); }
void ServerEndpoint::set_wakeup(std::move_only_function<void()> wakeup) { impl_->set_wakeup(std::move(wakeup)); }

const PeerIdentity* ServerEndpoint::identity() const { return impl_->identity(); }
BytesView ServerEndpoint::session_id() const { return impl_->session_id(); }
const Transport* ServerEndpoint::transport() const { return impl_->transport_or_null(); }
Channel ServerEndpoint::open_channel(const ChannelOpen& open, std::shared_ptr<ChannelHandler> handler) {
  return impl_->open_channel(open, std::move(handler));
}
void ServerEndpoint::global_request(std::string_view name, BytesView payload, GlobalReplyCallback on_reply) {
  impl_->global_request(name, payload, std::move(on_reply));
}
void ServerEndpoint::global_request(const GlobalRequest& request, GlobalReplyCallback on_reply) {
  impl_->global_request(request_name(request), encode_payload(request), std::move(on_reply));
}
std::size_t ServerEndpoint::channel_count() const { return impl_->channel_count(); }
void ServerEndpoint::disconnect(std::string_view text) {
  const auto impl = impl_;
  impl->disconnect(text);
}

}  // namespace mezite::ssh
