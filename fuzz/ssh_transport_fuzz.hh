// What both transport harnesses do. First byte of the input: bits 0–1 the phase (0: in the clear, the rest of the input
// is bytes for the wire; 1 transport, 2 userauth, 3 connection: the rest is messages, each a uint16 size and a payload,
// which are sealed), bit 2 without strict KEX, bit 3 the transport re-keys at once, bits 4–6 the cipher.
#pragma once

#include <cstdlib>

#include "deterministic_random.hh"
#include "ssh/transport/testing/raw_peer.hh"

namespace mezite::fuzz {

// Nothing may be delivered that the phase does not admit.
class CheckingSink final : public ssh::PacketSink {
 public:
  Status on_packet(BytesView payload) override {
    const bool userauth = payload[0] >= 50 && payload[0] <= 79;
    const bool connection = payload[0] >= 80 && payload[0] <= 127;
    const auto phase = transport_->phase();
    if (transport_->closed() ||
        !(phase == ssh::Phase::kUserauth ? userauth : phase == ssh::Phase::kConnection && connection)) {
      std::abort();
    }
    return transport_->send(payload);
  }
  ssh::Transport* transport_ = nullptr;
};

inline void run(ssh::Role role, BytesView input) {
  using namespace mezite::ssh;
  if (input.empty()) return;
  const std::uint8_t settings = input[0];
  input = input.subspan(1);
  restart_random();

  static const auto server = std::make_shared<const TransportConfig>(testing::server_config());
  static const auto client = std::make_shared<const TransportConfig>(testing::client_config());
  ManualClock clock;
  CheckingSink sink;
  const auto transport = testing::must(Transport::create(role == Role::kServer ? server : client, clock, sink));
  sink.transport_ = transport.get();
  testing::RawPeer peer(role == Role::kServer ? Role::kClient : Role::kServer, *transport);
  peer.strict = (settings & 4) == 0;
  peer.cipher = cipher_algorithms()[(settings >> 4) % cipher_algorithms().size()].name;

  Status status;
  const int phase = settings & 3;
  if (phase == 0) {
    // In two pieces, so that packets come in parts as well.
    const std::size_t half = input.size() / 2;
    status = peer.raw(input.first(half));
    if (status) status = peer.raw(input.subspan(half));
  } else {
    testing::must(peer.handshake());
    if (phase > 1) {
      testing::must(role == Role::kServer ? peer.send_message(ServiceRequest{.service = "ssh-userauth"})
                                          : peer.send_message(ServiceAccept{.service = "ssh-userauth"}));
    }
    if (phase == 3) transport->set_phase(Phase::kConnection);
    if ((settings & 8) != 0) transport->start_rekey();
    while (status && input.size() >= 2) {
      const std::size_t size = std::min<std::size_t>(std::size_t{input[0]} << 8 | input[1], input.size() - 2);
      status = peer.send(input.subspan(2, size));
      input = input.subspan(2 + size);
    }
  }
  // After an error nothing works any more, and the output stays within its bound.
  if (!status && (!transport->closed() || transport->send(Bytes{94}) || transport->commit_read(0))) std::abort();
  if (transport->output_size() > TransportLimits().max_output_bytes * 2) std::abort();
  clock.advance(std::chrono::hours(2));
  static_cast<void>(transport->on_time());
}

}  // namespace mezite::fuzz
