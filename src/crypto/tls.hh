// TLS without sockets: an engine takes ciphertext and gives ciphertext, over OpenSSL's memory buffers. TLS 1.2 and 1.3.
#pragma once

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
#include "crypto/signing_key.hh"
#include "crypto/x509.hh"

struct ssl_st;
struct ssl_ctx_st;

namespace mezite::crypto {

enum class TlsVersion { kTls12, kTls13 };

// A certificate chain, leaf first (the issuing CA may follow, so that a client can find a pinned key), and its key.
struct TlsIdentity {
  std::vector<X509Certificate> chain;
  SigningKey key;
};

// Whom to believe. The chain is leaf first, as the peer presented it, and never empty.
struct TlsTrust {
  enum class Kind {
    kSystemRoots,  // public CAs, and the name must match
    kRoots,        // the roots given; the name given to TlsEngine::connect must match, unless that is empty
    kSpkiPin,      // a CA whose SPKI SHA-256 is the pin is in the chain and the leaf leads to it (or is it itself)
    kNone,         // anybody: for --insecure and for looking at a fingerprint
  };
  Kind kind = Kind::kSystemRoots;
  std::vector<X509Certificate> roots;
  std::string pin_hex;  // 64 hexadecimal digits, "sha256:" in front allowed; several with commas: any of them
  // A further check of the caller's own after the one above succeeded.
  std::function<Status(std::span<const X509Certificate> chain)> also;

  static TlsTrust system_roots() { return {}; }
  static TlsTrust root_set(std::vector<X509Certificate> roots) { return {Kind::kRoots, std::move(roots), {}, {}}; }
  static TlsTrust pin(std::string hex) { return {Kind::kSpkiPin, {}, std::move(hex), {}}; }
  static TlsTrust none() { return {Kind::kNone, {}, {}, {}}; }
};

struct TlsServerOptions {
  TlsIdentity identity;
  std::vector<std::string>
      alpn;  // in order of preference; empty: no ALPN. A client whose offers all differ is refused.
  TlsVersion min_version = TlsVersion::kTls12;
  // Client certificates: not asked for, checked when sent, or required; against client_roots.
  enum class ClientCertificate { kNone, kOptional, kRequired };
  ClientCertificate client_certificate = ClientCertificate::kNone;
  std::vector<X509Certificate> client_roots;
  const Clock* clock = &system_clock();
};

struct TlsClientOptions {
  TlsTrust trust;
  std::optional<TlsIdentity> identity;
  std::vector<std::string> alpn;
  TlsVersion min_version = TlsVersion::kTls12;
  const Clock* clock = &system_clock();
};

// Settings shared by many sessions. Thread-safe.
class TlsContext {
 public:
  static Result<std::shared_ptr<TlsContext>> server(TlsServerOptions options);
  static Result<std::shared_ptr<TlsContext>> client(TlsClientOptions options);
  ~TlsContext();
  TlsContext(const TlsContext&) = delete;
  TlsContext& operator=(const TlsContext&) = delete;

  // Sessions made from now on show this certificate; those that are open keep theirs.
  Status set_identity(TlsIdentity identity);
  // The leaf shown now, when there is one.
  std::optional<X509Certificate> certificate() const;

 private:
  friend class TlsEngine;
  friend struct TlsVerifier;
  struct State;
  explicit TlsContext(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

// One session. One thread at a time. Usage: feed() what the socket gave, read() until it gives 0, write() what is to go
// out, then take_ciphertext() and send that. A failed engine may still have an alert in take_ciphertext().
class TlsEngine {
 public:
  static Result<std::unique_ptr<TlsEngine>> accept(std::shared_ptr<TlsContext> context);
  // server_name: for SNI and the name check; a DNS name or an IP address; empty: neither.
  static Result<std::unique_ptr<TlsEngine>> connect(std::shared_ptr<TlsContext> context, std::string_view server_name);
  ~TlsEngine();
  TlsEngine(const TlsEngine&) = delete;
  TlsEngine& operator=(const TlsEngine&) = delete;

  // Takes ciphertext from the peer and moves the handshake on. Fails for good when the handshake does.
  Status feed(BytesView ciphertext);
  // The peer's socket reached its end; without a close_notify before it, later reads fail (truncation).
  void feed_end();
  bool handshake_done() const { return handshake_done_; }

  // Appends up to limit bytes of plaintext to out and says how many; 0: nothing now, or the peer said it is done
  // (see peer_closed()).
  Result<std::size_t> read(Bytes& out, std::size_t limit);
  Result<std::size_t> read(std::span<std::uint8_t> out);
  bool peer_closed() const { return peer_closed_; }

  // Encrypts all of it; before the handshake is done it is kept (up to 1 MiB) and goes out after.
  Status write(BytesView plaintext);
  // Says that nothing more will be written.
  Status close_notify();

  // Moves all waiting ciphertext to the end of out.
  void take_ciphertext(Bytes& out);
  bool has_ciphertext() const;
  // take_ciphertext without a copy: look, send, then drop what was sent.
  BytesView peek_ciphertext() const;
  void drop_ciphertext(std::size_t size);

  std::string alpn() const;                         // "" when none was agreed
  std::string version() const;                      // "TLSv1.3"
  std::vector<X509Certificate> peer_chain() const;  // leaf first; empty when the peer showed none

 private:
  TlsEngine(std::shared_ptr<TlsContext> context, ssl_st* session);
  Status advance();
  Status failure(std::string_view doing);

  std::shared_ptr<TlsContext> context_;
  ssl_st* session_;
  std::string server_name_;
  Bytes early_;  // plaintext written before the handshake was done
  std::string refusal_;
  bool handshake_done_ = false;
  bool peer_closed_ = false;
  bool failed_ = false;
  friend struct TlsVerifier;
};

// "sha256:<hex>" or "<hex>" → the 64 lower-case digits.
Result<std::string> parse_pin(std::string_view text);

}  // namespace mezite::crypto
