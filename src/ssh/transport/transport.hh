// The SSH transport layer (RFC 4253), sans-I/O, in both roles: bytes in, messages out; messages in, bytes out.
//
// A Transport owns an input and an output buffer and no socket. Its owner reads into read_space(), tells commit_read(),
// and writes pending_output() whenever there is some. Everything happens inside these calls, on the caller's thread;
// a Transport is used from one thread and takes no lock.
//
// The transport runs identification, key exchange and re-keying, and the ssh-userauth service request (a client asks
// for it by itself after the first key exchange, a server accepts it and nothing else). Messages from 50 on go to the
// PacketSink once the phase admits them.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.hh"
#include "base/clock.hh"
#include "base/result.hh"
#include "ssh/wire/message_number.hh"

namespace mezite::ssh {

class Signer;  // ssh/keys/

enum class Role { kClient, kServer };

// Which services messages are admitted for. It only ever moves down this list.
enum class Phase {
  kTransport,   // no service yet: nothing from 50 on
  kUserauth,    // 50–79; entered by the transport itself when the service is accepted
  kConnection,  // 80–127; entered by set_phase() on USERAUTH_SUCCESS
};

// What a server says in EXT_INFO that it understands, in the one version that is known.
enum class PeerExtension : std::uint8_t {
  kHostbound,  // publickey-hostbound@openssh.com
  kPing,       // ping@openssh.com
};

// Names in order of preference. Names that this build does not know make Transport::create() fail.
struct AlgorithmPreferences {
  std::vector<std::string> kex;
  std::vector<std::string> host_keys;  // a server offers those of them that it has a key or certificate for
  std::vector<std::string> ciphers;
  std::vector<std::string> macs;  // not used by the AEAD ciphers

  static const AlgorithmPreferences& defaults();
};

// A server's host key: offered plain, and by its certificate too when there is one.
struct HostKey {
  std::shared_ptr<const Signer> signer;
  Bytes certificate;  // OpenSSH certificate blob for the signer's key; empty: none
};

// What a client is asked to believe, after the signature by it has been checked.
struct HostKeyOffer {
  std::string_view algorithm;  // as negotiated: "ssh-ed25519-cert-v01@openssh.com"
  BytesView blob;              // public key, or certificate when the algorithm ends in -cert-v01@openssh.com
};

// When a key exchange is begun by this side; in phase kConnection only.
struct RekeyLimits {
  std::uint64_t bytes = std::uint64_t{1} << 30;  // in either direction since the last key exchange
  std::uint64_t packets = std::uint64_t{1} << 30;
  std::chrono::nanoseconds time = std::chrono::hours(1);
};

struct TransportLimits {
  std::size_t max_packet_bytes = 256 * 1024;        // packet_length that is taken from the peer
  std::size_t max_identification_lines = 64;        // a client skips fewer lines than this before "SSH-2.0-"
  std::size_t max_queued_bytes = 4 * 1024 * 1024;   // messages that wait for a key exchange
  std::size_t max_output_bytes = 16 * 1024 * 1024;  // past this a send is refused; owners stop far earlier
  std::size_t max_idle_messages = 256;  // IGNORE, DEBUG, UNIMPLEMENTED and PING in all before phase kConnection
  std::size_t max_pong_backlog = 4 * 1024 * 1024;  // output that may wait when a PING is answered
  std::size_t max_empty_rekeys = 16;               // key exchanges in a row with no message from 50 on between
  std::chrono::nanoseconds handshake_timeout = std::chrono::seconds(20);  // from create() to the first NEWKEYS
  std::chrono::nanoseconds rekey_timeout = std::chrono::seconds(120);
};

struct TransportConfig {
  Role role = Role::kClient;
  std::string software = "SSH-2.0-Mezite_0.1";  // identification string without CR LF
  AlgorithmPreferences algorithms = AlgorithmPreferences::defaults();
  std::vector<HostKey> host_keys;  // server
  // Client: an error ends the connection; its message goes to the caller of commit_read(). Required for clients.
  // Called at each key exchange.
  std::function<Status(const HostKeyOffer&)> verify_host_key;
  RekeyLimits rekey;
  TransportLimits limits;
};

struct NegotiatedAlgorithms {
  struct Direction {
    std::string_view cipher;
    std::string_view mac;  // empty for an AEAD
  };
  std::string_view kex;
  std::string_view host_key;
  Direction client_to_server;
  Direction server_to_client;
  bool strict_kex = false;
};

struct TransportCounters {
  std::uint64_t bytes_in = 0;  // on the wire
  std::uint64_t bytes_out = 0;
  std::uint64_t packets_in = 0;
  std::uint64_t packets_out = 0;
  std::uint64_t key_exchanges = 0;
};

// What the layers above get. Calls come from inside commit_read(); a sink may call send(), set_phase(), start_rekey()
// and disconnect() from there, but not commit_read() or read_space(), and it must not destroy the transport.
class PacketSink {
 public:
  virtual ~PacketSink() = default;
  // One message, message number first (≥ 50, admitted by phase and role). The view is valid during the call only.
  // An error ends the connection: kProtocol as PROTOCOL_ERROR, anything else as BY_APPLICATION.
  virtual Status on_packet(BytesView payload) = 0;
  // The phase is kUserauth now: a client may send its first USERAUTH_REQUEST.
  virtual Status on_service_ready() { return {}; }
  // A key exchange has ended; session_id() is set from the first one on.
  virtual void on_key_exchange() {}
  // EXT_INFO has come; see server_sig_algs().
  virtual void on_ext_info() {}
  // The peer said goodbye. The text is as it came: escape it before showing. Nothing can be sent any more.
  virtual void on_peer_disconnect(DisconnectReason /*reason*/, std::string_view /*text*/) {}
};

class Transport {
 public:
  // The first bytes to write (identification, KEXINIT) are pending afterwards. The clock and the sink outlive the
  // transport. kInvalidArgument for a configuration that cannot work (unknown name, no host key, no verifier).
  static Result<std::unique_ptr<Transport>> create(std::shared_ptr<const TransportConfig> config, const Clock& clock,
                                                   PacketSink& sink);
  virtual ~Transport() = default;
  Transport(const Transport&) = delete;
  Transport& operator=(const Transport&) = delete;

  // ---- Input. Room for at least want_bytes (bounded to 1 MiB) at the tail of the input buffer; read into it, then say
  // how many bytes came. After an error the connection is over: write pending_output() if any, then close.
  virtual std::span<std::uint8_t> read_space(std::size_t want_bytes) = 0;
  virtual Status commit_read(std::size_t bytes) = 0;

  // While held, bytes that come are kept and nothing is dispatched (a decision is being waited for); do not read more
  // than a little then. May be called by the sink: it takes effect with the next message. release_input() dispatches
  // what has come meanwhile; its error is as from commit_read(). The sink must not call release_input().
  virtual void hold_input() = 0;
  virtual Status release_input() = 0;

  // ---- Output: one contiguous run of sealed packets. The view is valid until the next non-const call.
  virtual BytesView pending_output() const = 0;
  virtual void consume_output(std::size_t bytes) = 0;
  // Pending output plus messages that wait for a key exchange to end: what backpressure goes by.
  virtual std::size_t output_size() const = 0;

  // ---- Messages out. A payload starts with its message number. Messages from 50 on that are sent during a key
  // exchange wait for its end (RFC 4253 §7.1). kResourceExhausted past the limits, kFailedPrecondition when closed or
  // before the first key exchange ended; the connection itself goes on.
  Status send(BytesView payload) { return send(payload, {}); }
  // A payload in two parts; the second is encrypted from where it lies, without a copy.
  virtual Status send(BytesView head, BytesView text) = 0;

  // Server: after USERAUTH_SUCCESS was sent; client: when it came.
  virtual void set_phase(Phase phase) = 0;
  // Begins a key exchange unless one is running.
  virtual void start_rekey() = 0;
  // Puts DISCONNECT last in the output and closes. The text goes to the peer.
  virtual void disconnect(DisconnectReason reason, std::string_view text) = 0;

  // ---- Time: call on_time() when next_deadline() has passed (handshake and re-key timeouts, re-keying by time). An
  // error is as from commit_read().
  virtual std::optional<SteadyTime> next_deadline() const = 0;
  virtual Status on_time() = 0;

  // ---- What is known.
  virtual bool closed() const = 0;  // by either side or by an error
  virtual bool key_exchange_running() const = 0;
  virtual Phase phase() const = 0;
  virtual BytesView session_id() const = 0;  // empty before the first key exchange
  // The server's, as it was shown in the first key exchange: key or certificate blob. Empty before.
  virtual BytesView host_key() const = 0;
  virtual bool peer_announced(PeerExtension extension) const = 0;  // client, from EXT_INFO
  virtual std::string_view peer_version() const = 0;  // "SSH-2.0-OpenSSH_9.2p1", printable ASCII; empty before it came
  virtual const NegotiatedAlgorithms& algorithms() const = 0;
  virtual const std::vector<std::string>& server_sig_algs() const = 0;  // client, from EXT_INFO; empty: not told
  virtual const TransportCounters& counters() const = 0;

 protected:
  Transport() = default;
};

}  // namespace mezite::ssh
