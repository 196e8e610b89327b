// Authentication as a server. First byte: how the owner decides (bits 0–1: accept, partial, challenge, reject; bit 2:
// later; bit 3: "none" is offered); the rest is messages, each a uint16 size and a payload.
#include <memory>
#include <utility>

#include "silent_transport.hh"
#include "ssh/userauth/server_auth.hh"

namespace {

using namespace mezite;
using namespace mezite::ssh;
using fuzz::expect;

class Owner final : public ServerAuthOwner {
 public:
  explicit Owner(std::uint8_t behaviour) : behaviour_(behaviour) {}
  void on_auth_request(const AuthRequest& request, AuthResponder responder) override {
    expect(!pending && !identity && request.service == "ssh-connection" && request.user.size() <= 256);
    // Nobody here can sign: a proof that verifies is a forgery.
    expect(request.method != AuthMethod::kPublicKey || request.proof == KeyProof::kOffered);
    method_ = request.method;
    if (behaviour_ & 4) {
      pending = std::move(responder);
    } else {
      decide(std::move(responder));
    }
  }
  void on_auth_refused(const AuthRequest&, std::string_view) override {}
  void on_auth_success(PeerIdentity who) override {
    // An offer of a key is nothing; what let the client in was asked of the owner.
    expect(!identity && !who.key && !who.steps.empty());
    identity = std::move(who);
  }
  void on_auth_error(const Error&) override { over = true; }
  void on_auth_output() override {}
  void on_auth_resume() override {}

  void decide(AuthResponder responder) {
    switch (behaviour_ & 3) {
      case 0: responder.accept(); break;
      case 1: responder.partial({AuthMethod::kKeyboardInteractive, AuthMethod::kNone}); break;
      case 2: responder.challenge({"name", "instruction", {{"one", true}, {"two", false}}}); break;
      default: break;
    }
  }

  std::optional<AuthResponder> pending;
  std::optional<PeerIdentity> identity;
  bool over = false;

 private:
  const std::uint8_t behaviour_;
  AuthMethod method_ = AuthMethod::kNone;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  BytesView input(data + 1, size - 1);
  Owner owner(data[0]);
  fuzz::SilentTransport transport;
  ServerAuthSettings settings{.banner = "hello", .methods = {AuthMethod::kPublicKey, AuthMethod::kKeyboardInteractive}};
  if (data[0] & 8) settings.methods.push_back(AuthMethod::kNone);
  const auto auth = std::make_shared<ServerAuth>(transport, settings, owner);
  BytesView message;
  Status status;
  while (status && !owner.over && !transport.closed() && fuzz::next_message(input, message)) {
    if (message.empty()) continue;
    if (transport.phase() == Phase::kConnection) break;
    status = auth->on_packet(message);
    expect(auth->is_deciding() == owner.pending.has_value());
    if (owner.pending) owner.decide(*std::exchange(owner.pending, std::nullopt));
    expect(!auth->is_deciding());
  }
  expect(owner.identity.has_value() == (transport.phase() == Phase::kConnection));
  expect(transport.output < (1u << 20));
  auth->stop();
  return 0;
}
