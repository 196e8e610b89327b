// A transport without cryptography, for harnesses of the layers above it: what they send is checked and counted.
#pragma once

#include <cstdlib>
#include <string>
#include <vector>

#include "ssh/transport/transport.hh"

namespace mezite::fuzz {

inline void expect(bool condition) {
  if (!condition) std::abort();
}

class SilentTransport final : public ssh::Transport {
 public:
  std::span<std::uint8_t> read_space(std::size_t) override { return {}; }
  Status commit_read(std::size_t) override { return {}; }
  void hold_input() override { held = true; }
  Status release_input() override {
    held = false;
    return {};
  }
  BytesView pending_output() const override { return {}; }
  void consume_output(std::size_t) override {}
  std::size_t output_size() const override { return output; }
  using Transport::send;
  Status send(BytesView head, BytesView text) override {
    const std::size_t bytes = head.size() + text.size();
    expect(!head.empty() && bytes <= ssh::TransportLimits().max_packet_bytes && !closed_);
    output += bytes;
    ++packets;
    last_message = head[0];
    return {};
  }
  void set_phase(ssh::Phase phase) override { phase_ = phase; }
  void start_rekey() override {}
  void disconnect(ssh::DisconnectReason, std::string_view) override { closed_ = true; }
  std::optional<SteadyTime> next_deadline() const override { return std::nullopt; }
  Status on_time() override { return {}; }
  bool closed() const override { return closed_; }
  bool key_exchange_running() const override { return false; }
  ssh::Phase phase() const override { return phase_; }
  BytesView session_id() const override { return as_bytes("0123456789abcdef0123456789abcdef"); }
  BytesView host_key() const override { return as_bytes("host key"); }
  bool peer_announced(ssh::PeerExtension) const override { return hostbound; }
  std::string_view peer_version() const override { return "SSH-2.0-OpenSSH_9.2p1"; }
  const ssh::NegotiatedAlgorithms& algorithms() const override { return algorithms_; }
  const std::vector<std::string>& server_sig_algs() const override { return server_sig_algs_; }
  const ssh::TransportCounters& counters() const override { return counters_; }

  std::size_t output = 0;
  std::size_t packets = 0;
  std::uint8_t last_message = 0;
  bool held = false;
  bool hostbound = false;

 private:
  bool closed_ = false;
  ssh::Phase phase_ = ssh::Phase::kUserauth;
  ssh::NegotiatedAlgorithms algorithms_;
  std::vector<std::string> server_sig_algs_;
  ssh::TransportCounters counters_;
};

// The input as messages: uint16 size, payload. False at its end; sizes that lie are cut to what is there.
inline bool next_message(BytesView& input, BytesView& message) {
  if (input.size() < 2) return false;
  const std::size_t size = std::min<std::size_t>(std::size_t{input[0]} << 8 | input[1], input.size() - 2);
  message = input.subspan(2, size);
  input = input.subspan(2 + size);
  return true;
}

}  // namespace mezite::fuzz
