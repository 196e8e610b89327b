// Authentication as a client. First byte: bit 0 two keys, bit 1 the server announced hostbound, bit 2 challenges are
// answered, bit 3 one answer too few; the rest is the server's messages, each a uint16 size and a payload.
#include <memory>
#include <utility>

#include "deterministic_random.hh"
#include "silent_transport.hh"
#include "ssh/keys/private_key.hh"
#include "ssh/userauth/client_auth.hh"

namespace {

using namespace mezite;
using namespace mezite::ssh;
using fuzz::expect;

class Owner final : public ClientAuthOwner {
 public:
  explicit Owner(std::uint8_t behaviour) : behaviour_(behaviour) {}
  void on_auth_banner(std::string_view text) override {
    banner_bytes_ += text.size();
    expect(banner_bytes_ <= 128 * 1024);
  }
  void on_auth_challenge(const KeyboardInteractiveChallenge& challenge, ChallengeResponder responder) override {
    expect(challenge.prompts.size() <= 64);
    if (!(behaviour_ & 4)) return;
    std::vector<Secret> answers;
    for (std::size_t i = behaviour_ >> 3 & 1; i < challenge.prompts.size(); ++i) answers.emplace_back(as_bytes("yes"));
    responder.answer(std::move(answers));
  }
  void on_auth_success() override { expect(!std::exchange(success, true)); }
  void on_auth_error(const Error&) override { over = true; }
  void on_auth_output() override {}

  bool success = false;
  bool over = false;

 private:
  const std::uint8_t behaviour_;
  std::size_t banner_bytes_ = 0;
};

Identity make_identity(KeyType type) {
  auto key = PrivateKey::generate(type);
  expect(key.has_value());
  return Identity{std::make_shared<PrivateKey>(std::move(*key)), {}};
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  static const Identity first = (fuzz::restart_random(), make_identity(KeyType::kEd25519));
  static const Identity second = make_identity(KeyType::kEcdsaP256);
  const std::vector<Identity> one{first}, two{second, first};
  BytesView input(data + 1, size - 1);
  Owner owner(data[0]);
  fuzz::SilentTransport transport;
  transport.hostbound = (data[0] & 2) != 0;
  const auto auth =
      std::make_shared<ClientAuth>(transport, ClientAuthSettings{"alice", (data[0] & 1) ? two : one, true}, owner);
  Status status = auth->start();
  BytesView message;
  while (status && !owner.over && !owner.success && fuzz::next_message(input, message)) {
    if (message.empty()) continue;
    status = auth->on_packet(message);
  }
  expect(owner.success == (transport.phase() == Phase::kConnection));
  expect(transport.packets < 256 && transport.output < (1u << 20));
  auth->stop();
  return 0;
}
