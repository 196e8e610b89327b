// The Transport of this build. Private to the folder: others make one by Transport::create().
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "ssh/kex/exchange.hh"
#include "ssh/kex/negotiation.hh"
#include "ssh/transport/identification.hh"
#include "ssh/transport/message_table.hh"
#include "ssh/transport/packet_input.hh"
#include "ssh/transport/packet_output.hh"
#include "ssh/transport/transport.hh"

namespace mezite::ssh {

class SshTransport final : public Transport {
 public:
  SshTransport(std::shared_ptr<const TransportConfig> config, const Clock& clock, PacketSink& sink);
  Status start();  // once, before anything else

  std::span<std::uint8_t> read_space(std::size_t want_bytes) override;
  Status commit_read(std::size_t bytes) override;
  void hold_input() override { held_ = true; }
  Status release_input() override;

  BytesView pending_output() const override { return out_.pending(); }
  void consume_output(std::size_t bytes) override { out_.consume(bytes); }
  std::size_t output_size() const override { return out_.pending().size() + queue_.size(); }

  using Transport::send;
  Status send(BytesView head, BytesView text) override;

  void set_phase(Phase phase) override;
  void start_rekey() override;
  void disconnect(DisconnectReason reason, std::string_view text) override;

  std::optional<SteadyTime> next_deadline() const override;
  Status on_time() override;

  bool closed() const override { return closed_; }
  bool key_exchange_running() const override { return own_kexinit_ || awaiting_newkeys_; }
  Phase phase() const override { return phase_; }
  BytesView session_id() const override { return session_id_; }
  BytesView host_key() const override { return host_key_; }
  bool peer_announced(PeerExtension extension) const override {
    return (peer_extensions_ & extension_bit(extension)) != 0;
  }
  std::string_view peer_version() const override {
    return identification_.done() ? std::string_view(identification_.version()) : std::string_view();
  }
  const NegotiatedAlgorithms& algorithms() const override { return algorithms_; }
  const std::vector<std::string>& server_sig_algs() const override { return server_sig_algs_; }
  const TransportCounters& counters() const override;

 private:
  static unsigned extension_bit(PeerExtension extension) { return 1u << static_cast<unsigned>(extension); }
  bool is_server() const { return config_->role == Role::kServer; }

  // Input.
  Status process();
  Status dispatch(BytesView payload);
  Status act(Action action, BytesView payload);
  Status count_idle_message();
  Status on_peer_disconnect(BytesView payload);
  Status on_service_request(BytesView payload);
  Status on_service_accept(BytesView payload);
  Status on_ext_info(BytesView payload);
  Status on_ping(BytesView payload);
  Status answer_unimplemented();

  // Output. emit() is for the transport's own messages.
  Status emit(BytesView payload);
  bool must_queue() const { return own_kexinit_.has_value(); }
  Status flush_queue();

  // Key exchange (ssh_transport_kex.cc).
  Status send_kexinit();
  KexInit make_kexinit() const;
  Status on_kexinit(BytesView payload);
  Status on_ecdh_init(BytesView payload);
  Status on_ecdh_reply(BytesView payload);
  Status sign_and_reply(ServerExchange exchange, BytesView host_key, const Signer& signer);
  Status take_keys(ExchangeResult result);
  Status on_newkeys(BytesView payload);
  Status send_ext_info();
  Status rekey_if_due();
  bool rekey_is_due() const;
  void note_algorithms();
  const HostKey* host_key_for(const PublicKeyAlgorithm& algorithm) const;

  // The end. fatal() sends DISCONNECT with the reason's constant text, closes, and gives the error back.
  Status fatal(DisconnectReason reason, Error error);
  Status fatal(Error error);  // the reason by the error's code
  void close_with(DisconnectReason reason, std::string_view text);

  const std::shared_ptr<const TransportConfig> config_;
  const Clock& clock_;
  PacketSink& sink_;

  IdentificationReader identification_;
  PacketInput in_;
  PacketOutput out_;

  Stage stage_ = Stage::kKexInit;  // what the next message of the peer is looked up in
  Phase phase_ = Phase::kTransport;
  bool held_ = false;
  bool processing_ = false;
  bool closed_ = false;
  std::optional<Error> failure_;

  // Messages that wait for a key exchange: uint32 size, payload.
  Bytes queue_;

  // The key exchange that is running.
  std::optional<Bytes> own_kexinit_;  // from our KEXINIT to our NEWKEYS
  bool awaiting_newkeys_ = false;     // from our NEWKEYS to the peer's
  ExchangePreamble preamble_;
  KexAgreement agreed_;
  std::optional<ClientExchange> client_exchange_;
  std::unique_ptr<PacketCipher> next_in_cipher_;
  SteadyTime kex_deadline_{};

  // From key exchanges that have ended.
  bool strict_ = false;
  bool peer_takes_ext_info_ = false;
  Bytes session_id_;
  Bytes host_key_;  // of the first key exchange
  NegotiatedAlgorithms algorithms_;
  std::vector<std::string> server_sig_algs_;
  unsigned peer_extensions_ = 0;
  SteadyTime rekey_time_{};
  std::uint64_t key_exchanges_ = 0;

  // Against floods.
  std::size_t idle_messages_ = 0;
  std::size_t empty_rekeys_ = 0;
  std::size_t ext_infos_ = 0;

  mutable TransportCounters counters_;
};

}  // namespace mezite::ssh
