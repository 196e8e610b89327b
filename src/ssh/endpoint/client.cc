#include "ssh/endpoint/client.hh"

#include <utility>

#include "ssh/connection/request_codec.hh"
#include "ssh/endpoint/core.hh"
#include "ssh/endpoint/host_keys.hh"
#include "ssh/keys/certificate.hh"
#include "ssh/userauth/client_auth.hh"

namespace mezite::ssh {

class ClientEndpoint::Impl final : public EndpointCore, public ClientAuthOwner {
 public:
  Impl(ClientConfig config, ClientHandler& handler, const Clock& clock)
      : EndpointCore(clock, config.limits, config.keepalive, config.auth_timeout),
        config_(std::move(config)),
        handler_(&handler) {
    auto transport_config = std::make_shared<TransportConfig>(std::move(config_.transport));
    transport_config->role = Role::kClient;
    transport_config->verify_host_key = [this](const HostKeyOffer& offer) { return verify_host_key(offer); };
    start(Transport::create(std::move(transport_config), clock, *this));
    if (ended()) return;
    auth_ = std::make_shared<ClientAuth>(
        transport(), ClientAuthSettings{config_.user, config_.identities, config_.keyboard_interactive}, *this);
  }

  bool authenticated() const { return is_authenticated(); }

 private:
  Status verify_host_key(const HostKeyOffer& offer) {
    if (!handler_) return fail(ErrorCode::kFailedPrecondition, "the connection is over");
    // Judged once: a re-keying must show the very same key.
    if (!host_key_.empty()) {
      if (to_bytes(offer.blob) == host_key_) return {};
      return fail(ErrorCode::kUnauthenticated, "the server changed its host key during the connection");
    }
    MEZ_TRY(auto credential, parse_public_credential(offer.blob));
    MEZ_CHECK(handler_->on_host_key(plain_key(credential), std::get_if<Certificate>(&credential)));
    host_key_ = to_bytes(offer.blob);
    return {};
  }

  Status on_service_ready() override {
    if (ended()) return fail(ErrorCode::kFailedPrecondition, "the connection is over");
    return auth_->start();
  }
  Status on_auth_packet(BytesView payload) override {
    const auto auth = auth_;
    return auth->on_packet(payload);
  }
  bool is_input_held() const override { return false; }
  void stop_auth() override {
    if (auth_) auth_->stop();
  }
  void report_closed(const Error& error) override {
    if (handler_) handler_->on_closed(error);
  }
  void forget_handler() override { handler_ = nullptr; }

  void on_auth_banner(std::string_view text) override { handler_->on_banner(text); }
  void on_auth_challenge(const KeyboardInteractiveChallenge& challenge, ChallengeResponder responder) override {
    handler_->on_challenge(challenge, std::move(responder));
  }
  void on_auth_success() override {
    begin_connection(Role::kClient);
    handler_->on_authenticated();
  }
  void on_auth_error(const Error& error) override {
    transport().disconnect(DisconnectReason::kAuthCancelledByUser, "authentication was given up");
    end(error);
  }
  void on_auth_output() override { touched(); }

  void on_channel_open(const ChannelOpen& open, ChannelOpenResponder responder) override {
    handler_->on_channel_open(open, std::move(responder));
  }
  void on_global_request(const GlobalRequest& request, GlobalRequestResponder responder) override {
    const auto* other = std::get_if<OtherGlobalRequest>(&request);
    if (other && other->name == kHostKeysRequest) return ask_for_proofs(other->payload);
    handler_->on_global_request(request, std::move(responder));
  }
  void ask_for_proofs(BytesView announcement) {
    if (std::exchange(host_keys_seen_, true)) return;
    auto wanted = handler_->on_host_keys(parse_host_keys(announcement));
    if (!handler_ || wanted.empty() || wanted.size() > kMaxHostKeys) return;
    const Bytes payload = ask_for_host_keys(wanted);
    global_request(kProveHostKeysRequest, payload,
                   [this, wanted = std::move(wanted)](std::optional<BytesView> reply) mutable {
                     if (!handler_) return;
                     Result<std::vector<PublicKey>> proven = fail(ErrorCode::kUnauthenticated,
                                                                  "the server does not "
                                                                  "prove the host keys that it announced");
                     if (reply) {
                       if (auto status = check_host_key_proofs(wanted, *reply, session_id()); status) {
                         proven = std::move(wanted);
                       } else {
                         proven = std::unexpected(std::move(status).error());
                       }
                     }
                     handler_->on_host_keys_proven(proven);
                   });
  }

  ClientConfig config_;
  ClientHandler* handler_;  // null once the endpoint is destroyed
  std::shared_ptr<ClientAuth> auth_;
  bool host_keys_seen_ = false;
  Bytes host_key_;  // blob of the key or certificate that was believed
};

ClientEndpoint::ClientEndpoint(ClientConfig config, ClientHandler& handler, const Clock& clock)
    : impl_(std::make_shared<Impl>(std::move(config), handler, clock)) {}
ClientEndpoint::~ClientEndpoint() {
  const auto impl = impl_;
  impl->detach();
}

std::span<std::uint8_t> ClientEndpoint::read_space() { return impl_->read_space(); }
void ClientEndpoint::commit_read(std::size_t size) { impl_->commit_read(size); }
void ClientEndpoint::on_stream_end(std::optional<Error> error) { impl_->on_stream_end(std::move(error)); }
BytesView ClientEndpoint::pending_output() const { return impl_->pending_output(); }
void ClientEndpoint::consume_output(std::size_t size) { impl_->consume_output(size); }
std::size_t ClientEndpoint::output_size() const { return impl_->output_size(); }
bool ClientEndpoint::wants_close() const { return impl_->wants_close(); }
const Error* ClientEndpoint::error() const { return impl_->error(); }
std::optional<SteadyTime> ClientEndpoint::next_deadline() const { return impl_->next_deadline(); }
void ClientEndpoint::on_time() { impl_->on_time(); }
void ClientEndpoint::set_wakeup(std::move_only_function<void()> wakeup) { impl_->set_wakeup(std::move(wakeup)); }

bool ClientEndpoint::authenticated() const { return impl_->authenticated(); }
BytesView ClientEndpoint::session_id() const { return impl_->session_id(); }
const Transport* ClientEndpoint::transport() const { return impl_->transport_or_null(); }
Channel ClientEndpoint::open_channel(const ChannelOpen& open, std::shared_ptr<ChannelHandler> handler) {
  return impl_->open_channel(open, std::move(handler));
}
void ClientEndpoint::global_request(std::string_view name, BytesView payload, GlobalReplyCallback on_reply) {
  impl_->global_request(name, payload, std::move(on_reply));
}
void ClientEndpoint::global_request(const GlobalRequest& request, GlobalReplyCallback on_reply) {
  impl_->global_request(request_name(request), encode_payload(request), std::move(on_reply));
}
void ClientEndpoint::send_no_more_sessions() { impl_->send_no_more_sessions(); }
std::size_t ClientEndpoint::channel_count() const { return impl_->channel_count(); }
void ClientEndpoint::disconnect(std::string_view text) {
  const auto impl = impl_;
  impl->disconnect(text);
}

}  // namespace mezite::ssh
