#include "crypto/tls.hh"

#include <arpa/inet.h>

#include <algorithm>
#include <array>
#include <climits>
#include <mutex>

#include "base/text.hh"
#include "crypto/ossl.hh"
#include "crypto/x509_verify.hh"

namespace mezite::crypto {
namespace {

constexpr std::size_t kMaxEarlyBytes = std::size_t{1} << 20;
constexpr std::size_t kMaxPeerCertificates = 10;

int protocol(TlsVersion version) { return version == TlsVersion::kTls12 ? TLS1_2_VERSION : TLS1_3_VERSION; }

// RFC 7301 §3.1: each name with its length in front.
Result<Bytes> alpn_wire(const std::vector<std::string>& names) {
  Bytes out;
  for (const auto& name : names) {
    if (name.empty() || name.size() > 255)
      return fail(ErrorCode::kInvalidArgument, "ALPN name of {} bytes", name.size());
    out.push_back(static_cast<std::uint8_t>(name.size()));
    out.insert(out.end(), name.begin(), name.end());
  }
  return out;
}

std::vector<X509Certificate> chain_of(X509* leaf, STACK_OF(X509) * all, bool leaf_in_chain) {
  std::vector<X509Certificate> chain;
  const auto add = [&chain](X509* certificate) {
    X509_up_ref(certificate);
    chain.push_back(X509Certificate::from_handle(certificate));
  };
  if (leaf != nullptr && !leaf_in_chain) add(leaf);
  for (int i = 0; all != nullptr && i < sk_X509_num(all) && chain.size() < kMaxPeerCertificates; ++i) {
    add(sk_X509_value(all, i));
  }
  return chain;
}

bool is_ip_address(const std::string& text) {
  std::array<std::uint8_t, 16> bytes;
  return ::inet_pton(AF_INET, text.c_str(), bytes.data()) == 1 ||
         ::inet_pton(AF_INET6, text.c_str(), bytes.data()) == 1;
}

int engine_index() {
  static const int index = SSL_get_ex_new_index(0, nullptr, nullptr, nullptr, nullptr);
  return index;
}

}  // namespace

Result<std::string> parse_pin(std::string_view text) {
  text = trim(text);
  if (text.starts_with("sha256:")) text.remove_prefix(7);
  const auto bytes = from_hex(text);
  if (!bytes || bytes->size() != 32) {
    return fail(ErrorCode::kInvalidArgument,
                "'{}' is not a CA pin; expected 'sha256:' and 64 hexadecimal digits, as 'mezctl ca status' prints it",
                printable(text.substr(0, 100)));
  }
  return to_hex(*bytes);
}

struct TlsContext::State {
  ossl::SslCtxPtr context;
  bool is_server = false;
  const Clock* clock = nullptr;
  TlsTrust trust;  // of a client
  Bytes alpn;      // of a server, in wire form
  TlsServerOptions::ClientCertificate client_certificate = TlsServerOptions::ClientCertificate::kNone;
  ossl::X509StorePtr roots;

  std::mutex mutex;  // guards identity only
  std::shared_ptr<const TlsIdentity> identity;
};

// Whom OpenSSL asks during the handshake.
struct TlsVerifier {
  // Replaces OpenSSL's own verification, so that the rules of TlsTrust are in one place.
  static int verify(X509_STORE_CTX* store_context, void*) {
    auto* session = static_cast<SSL*>(X509_STORE_CTX_get_ex_data(store_context, SSL_get_ex_data_X509_STORE_CTX_idx()));
    auto* engine = static_cast<TlsEngine*>(SSL_get_ex_data(session, engine_index()));
    const auto chain = chain_of(nullptr, X509_STORE_CTX_get0_untrusted(store_context), true);
    const Status status = check(*engine, chain);
    if (status) {
      X509_STORE_CTX_set_error(store_context, X509_V_OK);
      return 1;
    }
    engine->refusal_ = status.error().message;
    X509_STORE_CTX_set_error(store_context, X509_V_ERR_APPLICATION_VERIFICATION);
    return 0;
  }

  static Status check(const TlsEngine& engine, std::span<const X509Certificate> chain) {
    const auto& state = *engine.context_->state_;
    const SystemTime now = state.clock->now();
    if (chain.empty()) return fail(ErrorCode::kUnauthenticated, "the peer showed no certificate");
    if (state.is_server) return ossl::verify_chain(chain, state.roots.get(), now, X509Usage::kClient, {});
    switch (state.trust.kind) {
      case TlsTrust::Kind::kSystemRoots:
      case TlsTrust::Kind::kRoots:
        MEZ_CHECK(ossl::verify_chain(chain, state.roots.get(), now, X509Usage::kServer, engine.server_name_));
        break;
      case TlsTrust::Kind::kSpkiPin: MEZ_CHECK(check_pin(chain, state.trust.pin_hex, now)); break;
      case TlsTrust::Kind::kNone: break;
    }
    if (state.trust.also) MEZ_CHECK(state.trust.also(chain));
    return {};
  }

  // A certificate with the pinned key is the only root: it counts for nothing that it is merely in the list.
  static Status check_pin(std::span<const X509Certificate> chain, std::string_view pins, SystemTime now) {
    Status last;
    for (std::string_view pin : split(pins, ',')) {
      last = check_one_pin(chain, pin, now);
      if (last) return last;
    }
    return last;
  }

  static Status check_one_pin(std::span<const X509Certificate> chain, std::string_view pin, SystemTime now) {
    // From the end: while a CA is rotated, a cross certificate of the same key comes before the root.
    const auto pinned =
        std::find_if(chain.rbegin(), chain.rend(), [&pin](const auto& c) { return c.spki_sha256_hex() == pin; });
    if (pinned == chain.rend()) {
      return fail(ErrorCode::kUnauthenticated,
                  "no certificate that the server shows has the pinned key sha256:{}; its last one has sha256:{}", pin,
                  chain.back().spki_sha256_hex());
    }
    return verify_x509_chain(chain, {&*pinned, 1}, now, X509Usage::kServer);
  }

  // Called for each handshake: takes the identity that is in force now.
  static int choose_identity(SSL* session, void* data) {
    auto* state = static_cast<TlsContext::State*>(data);
    std::shared_ptr<const TlsIdentity> identity;
    {
      const std::lock_guard lock(state->mutex);
      identity = state->identity;
    }
    if (!identity) return 1;
    SSL_certs_clear(session);
    if (SSL_use_certificate(session, identity->chain.front().handle()) != 1 ||
        SSL_use_PrivateKey(session, identity->key.handle()) != 1) {
      return 0;
    }
    for (std::size_t i = 1; i < identity->chain.size(); ++i) SSL_add1_chain_cert(session, identity->chain[i].handle());
    return 1;
  }

  static int choose_alpn(SSL*, const unsigned char** out, unsigned char* out_size, const unsigned char* offer,
                         unsigned int offer_size, void* data) {
    const auto* state = static_cast<TlsContext::State*>(data);
    unsigned char* chosen = nullptr;
    // Server's preference first; OpenSSL's function names its arguments for the client's use of it.
    if (SSL_select_next_proto(&chosen, out_size, state->alpn.data(), static_cast<unsigned>(state->alpn.size()), offer,
                              offer_size) != OPENSSL_NPN_NEGOTIATED) {
      return SSL_TLSEXT_ERR_ALERT_FATAL;  // RFC 7301 §3.2
    }
    *out = chosen;
    return SSL_TLSEXT_ERR_OK;
  }
};

TlsContext::TlsContext(std::unique_ptr<State> state) : state_(std::move(state)) {}
TlsContext::~TlsContext() = default;

namespace {

Result<ossl::SslCtxPtr> new_context(const SSL_METHOD* method, TlsVersion min_version) {
  ossl::SslCtxPtr context(SSL_CTX_new(method));
  char groups[] = "X25519:P-256:P-384";  // the macro takes it as not const
  if (!context || SSL_CTX_set_min_proto_version(context.get(), protocol(min_version)) != 1 ||
      SSL_CTX_set_cipher_list(context.get(), "ECDHE+AESGCM:ECDHE+CHACHA20") != 1 ||
      SSL_CTX_set1_groups_list(context.get(), groups) != 1) {
    return fail(ErrorCode::kInternal, "setting TLS up: {}", ossl::take_error());
  }
  // A peer that just closes is told from one that was cut off by peer_closed(); no renegotiation, no compression.
  SSL_CTX_set_options(context.get(), SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_CIPHER_SERVER_PREFERENCE);
  SSL_CTX_set_mode(context.get(), SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE);
  SSL_CTX_set_max_cert_list(context.get(), 64 * 1024);
  return context;
}

}  // namespace

Result<std::shared_ptr<TlsContext>> TlsContext::server(TlsServerOptions options) {
  auto state = std::make_unique<State>();
  MEZ_TRY(state->context, new_context(TLS_server_method(), options.min_version));
  MEZ_TRY(state->alpn, alpn_wire(options.alpn));
  state->is_server = true;
  state->clock = options.clock;
  state->client_certificate = options.client_certificate;
  SSL_CTX* raw = state->context.get();
  // Tickets would let a session outlive the certificates it was made with.
  SSL_CTX_set_session_cache_mode(raw, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_options(raw, SSL_OP_NO_TICKET);
  SSL_CTX_set_num_tickets(raw, 0);
  SSL_CTX_set_cert_cb(raw, &TlsVerifier::choose_identity, state.get());
  if (!state->alpn.empty()) SSL_CTX_set_alpn_select_cb(raw, &TlsVerifier::choose_alpn, state.get());
  if (options.client_certificate != TlsServerOptions::ClientCertificate::kNone) {
    state->roots.reset(X509_STORE_new());
    for (const auto& root : options.client_roots) {
      X509_STORE_add_cert(state->roots.get(), root.handle());
      SSL_CTX_add_client_CA(raw, root.handle());
    }
    const bool required = options.client_certificate == TlsServerOptions::ClientCertificate::kRequired;
    SSL_CTX_set_verify(raw, SSL_VERIFY_PEER | (required ? SSL_VERIFY_FAIL_IF_NO_PEER_CERT : 0), nullptr);
    SSL_CTX_set_cert_verify_callback(raw, &TlsVerifier::verify, nullptr);
  }
  std::shared_ptr<TlsContext> context(new TlsContext(std::move(state)));
  MEZ_CHECK(context->set_identity(std::move(options.identity)));
  return context;
}

Result<std::shared_ptr<TlsContext>> TlsContext::client(TlsClientOptions options) {
  auto state = std::make_unique<State>();
  MEZ_TRY(state->context, new_context(TLS_client_method(), options.min_version));
  MEZ_TRY(const Bytes alpn, alpn_wire(options.alpn));
  state->clock = options.clock;
  state->trust = std::move(options.trust);
  SSL_CTX* raw = state->context.get();
  if (state->trust.kind == TlsTrust::Kind::kSpkiPin) {
    std::string pins;
    for (std::string_view one : split(state->trust.pin_hex, ',')) {
      MEZ_TRY(const std::string pin, parse_pin(one));
      pins += (pins.empty() ? "" : ",") + pin;
    }
    state->trust.pin_hex = std::move(pins);
  }
  if (state->trust.kind == TlsTrust::Kind::kSystemRoots) {
    if (SSL_CTX_set_default_verify_paths(raw) != 1) {
      return fail(ErrorCode::kInternal, "reading the system's CA certificates: {}", ossl::take_error());
    }
    X509_STORE* system = SSL_CTX_get_cert_store(raw);
    X509_STORE_up_ref(system);
    state->roots.reset(system);
  } else {
    state->roots.reset(X509_STORE_new());
    for (const auto& root : state->trust.roots) X509_STORE_add_cert(state->roots.get(), root.handle());
  }
  SSL_CTX_set_verify(raw, SSL_VERIFY_PEER, nullptr);
  SSL_CTX_set_cert_verify_callback(raw, &TlsVerifier::verify, nullptr);
  if (!alpn.empty() && SSL_CTX_set_alpn_protos(raw, alpn.data(), static_cast<unsigned>(alpn.size())) != 0) {
    return fail(ErrorCode::kInternal, "setting ALPN: {}", ossl::take_error());
  }
  SSL_CTX_set_cert_cb(raw, &TlsVerifier::choose_identity, state.get());
  std::shared_ptr<TlsContext> context(new TlsContext(std::move(state)));
  if (options.identity) MEZ_CHECK(context->set_identity(std::move(*options.identity)));
  return context;
}

Status TlsContext::set_identity(TlsIdentity identity) {
  if (identity.chain.empty()) return fail(ErrorCode::kInvalidArgument, "a TLS identity needs a certificate");
  MEZ_TRY(const auto key, identity.chain.front().public_key());
  if (key.spki() != identity.key.public_key().spki()) {
    return fail(ErrorCode::kInvalidArgument, "the private key does not belong to the certificate '{}'",
                identity.chain.front().subject());
  }
  auto shared = std::make_shared<const TlsIdentity>(std::move(identity));
  const std::lock_guard lock(state_->mutex);
  state_->identity = std::move(shared);
  return {};
}

std::optional<X509Certificate> TlsContext::certificate() const {
  const std::lock_guard lock(state_->mutex);
  if (!state_->identity) return std::nullopt;
  return state_->identity->chain.front();
}

TlsEngine::TlsEngine(std::shared_ptr<TlsContext> context, ssl_st* session)
    : context_(std::move(context)), session_(session) {
  SSL_set_ex_data(session_, engine_index(), this);
}

TlsEngine::~TlsEngine() { SSL_free(session_); }

namespace {

Result<ossl::SslPtr> new_session(SSL_CTX* context) {
  ossl::SslPtr session(SSL_new(context));
  BIO* in = BIO_new(BIO_s_mem());
  BIO* out = BIO_new(BIO_s_mem());
  if (!session || in == nullptr || out == nullptr) {
    BIO_free(in);
    BIO_free(out);
    return fail(ErrorCode::kInternal, "starting TLS: {}", ossl::take_error());
  }
  BIO_set_mem_eof_return(in, -1);  // empty is "try again"
  BIO_set_mem_eof_return(out, -1);
  SSL_set_bio(session.get(), in, out);
  return session;
}

}  // namespace

Result<std::unique_ptr<TlsEngine>> TlsEngine::accept(std::shared_ptr<TlsContext> context) {
  MEZ_TRY(auto session, new_session(context->state_->context.get()));
  SSL_set_accept_state(session.get());
  return std::unique_ptr<TlsEngine>(new TlsEngine(std::move(context), session.release()));
}

Result<std::unique_ptr<TlsEngine>> TlsEngine::connect(std::shared_ptr<TlsContext> context,
                                                      std::string_view server_name) {
  if (server_name.size() > 255 || server_name.find('\0') != std::string_view::npos) {
    return fail(ErrorCode::kInvalidArgument, "'{}' is not a host name", printable(server_name.substr(0, 64)));
  }
  const auto kind = context->state_->trust.kind;
  if (server_name.empty() && kind == TlsTrust::Kind::kSystemRoots) {
    return fail(ErrorCode::kInvalidArgument, "a host name is needed to check a public certificate against");
  }
  MEZ_TRY(auto session, new_session(context->state_->context.get()));
  SSL_set_connect_state(session.get());
  const std::string name(server_name);
  // RFC 6066 §3: no addresses in SNI.
  if (!name.empty() && !is_ip_address(name)) {
    SSL_ctrl(session.get(), SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name, const_cast<char*>(name.c_str()));
  }
  std::unique_ptr<TlsEngine> engine(new TlsEngine(std::move(context), session.release()));
  engine->server_name_ = name;
  MEZ_CHECK(engine->advance());
  return engine;
}

Status TlsEngine::failure(std::string_view doing) {
  failed_ = true;
  const std::string reason = refusal_.empty() ? ossl::take_error() : refusal_;
  ERR_clear_error();
  return fail(refusal_.empty() ? ErrorCode::kProtocol : ErrorCode::kUnauthenticated, "{}: {}", doing, reason);
}

Status TlsEngine::advance() {
  if (failed_) return fail(ErrorCode::kFailedPrecondition, "the TLS session has failed");
  if (handshake_done_) return {};
  ERR_clear_error();
  const int result = SSL_do_handshake(session_);
  if (result == 1) {
    handshake_done_ = true;
    const Bytes early = std::exchange(early_, {});
    return early.empty() ? Status() : write(early);
  }
  const int error = SSL_get_error(session_, result);
  if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE) return {};
  return failure("TLS handshake");
}

Status TlsEngine::feed(BytesView ciphertext) {
  if (failed_) return fail(ErrorCode::kFailedPrecondition, "the TLS session has failed");
  BIO* in = SSL_get_rbio(session_);
  while (!ciphertext.empty()) {
    const std::size_t size = std::min<std::size_t>(ciphertext.size(), INT_MAX);
    if (BIO_write(in, ciphertext.data(), static_cast<int>(size)) != static_cast<int>(size)) return failure("TLS input");
    ciphertext = ciphertext.subspan(size);
  }
  return advance();
}

void TlsEngine::feed_end() { BIO_set_mem_eof_return(SSL_get_rbio(session_), 0); }

Result<std::size_t> TlsEngine::read(std::span<std::uint8_t> out) {
  MEZ_CHECK(advance());
  if (!handshake_done_ || peer_closed_ || out.empty()) return 0;
  std::size_t done = 0;
  ERR_clear_error();
  while (done < out.size()) {
    std::size_t size = 0;
    const int result = SSL_read_ex(session_, out.data() + done, out.size() - done, &size);
    if (result == 1) {
      done += size;
      continue;
    }
    const int error = SSL_get_error(session_, result);
    if (error == SSL_ERROR_ZERO_RETURN) {
      peer_closed_ = true;
    } else if (error != SSL_ERROR_WANT_READ && error != SSL_ERROR_WANT_WRITE) {
      if (done > 0) break;  // give out what is good; the next call meets the error again
      return std::unexpected(failure("TLS").error());
    }
    break;
  }
  return done;
}

Result<std::size_t> TlsEngine::read(Bytes& out, std::size_t limit) {
  const std::size_t before = out.size();
  // Grown by one record at a time, so that a large limit costs nothing while little is waiting.
  std::size_t total = 0;
  while (total < limit) {
    const std::size_t step = std::min<std::size_t>(limit - total, SSL3_RT_MAX_PLAIN_LENGTH);
    out.resize(before + total + step);
    auto size = read(std::span(out).subspan(before + total, step));
    out.resize(before + total + size.value_or(0));
    if (!size) {
      if (total > 0) break;
      return std::unexpected(std::move(size).error());
    }
    total += *size;
    if (*size < step) break;
  }
  return total;
}

Status TlsEngine::write(BytesView plaintext) {
  if (failed_) return fail(ErrorCode::kFailedPrecondition, "the TLS session has failed");
  if (!handshake_done_) {
    if (early_.size() + plaintext.size() > kMaxEarlyBytes) {
      return fail(ErrorCode::kResourceExhausted, "too much written before the TLS handshake was done");
    }
    early_.insert(early_.end(), plaintext.begin(), plaintext.end());
    return {};
  }
  ERR_clear_error();
  while (!plaintext.empty()) {
    std::size_t size = 0;
    if (SSL_write_ex(session_, plaintext.data(), plaintext.size(), &size) != 1) return failure("TLS output");
    plaintext = plaintext.subspan(size);
  }
  return {};
}

Status TlsEngine::close_notify() {
  if (failed_ || !handshake_done_) return {};
  ERR_clear_error();
  if (SSL_shutdown(session_) < 0 && SSL_get_error(session_, -1) == SSL_ERROR_SSL) return failure("TLS close");
  return {};
}

BytesView TlsEngine::peek_ciphertext() const {
  char* data = nullptr;
  const long size = BIO_get_mem_data(SSL_get_wbio(session_), &data);
  return as_bytes(std::string_view(data, static_cast<std::size_t>(std::max(0L, size))));
}

bool TlsEngine::has_ciphertext() const { return BIO_ctrl_pending(SSL_get_wbio(session_)) > 0; }

void TlsEngine::drop_ciphertext(std::size_t size) {
  std::array<std::uint8_t, 4096> scratch;
  while (size > 0) {
    const int got = BIO_read(SSL_get_wbio(session_), scratch.data(), static_cast<int>(std::min(size, scratch.size())));
    if (got <= 0) return;
    size -= static_cast<std::size_t>(got);
  }
}

void TlsEngine::take_ciphertext(Bytes& out) {
  const BytesView waiting = peek_ciphertext();
  out.insert(out.end(), waiting.begin(), waiting.end());
  BIO_reset(SSL_get_wbio(session_));
}

std::string TlsEngine::alpn() const {
  const unsigned char* name = nullptr;
  unsigned size = 0;
  SSL_get0_alpn_selected(session_, &name, &size);
  return std::string(as_text({name, size}));
}

std::string TlsEngine::version() const { return SSL_get_version(session_); }

std::vector<X509Certificate> TlsEngine::peer_chain() const {
  // OpenSSL leaves the leaf out of the list on the server's side only.
  return chain_of(SSL_get0_peer_certificate(session_), SSL_get_peer_cert_chain(session_), SSL_is_server(session_) == 0);
}

}  // namespace mezite::crypto
