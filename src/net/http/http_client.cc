#include "net/http/http_client.hh"

#include <poll.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "base/secret.hh"
#include "base/text.hh"
#include "crypto/tls.hh"
#include "net/connect.hh"
#include "net/http/codec.hh"

namespace mezite::net::http {
namespace {

using SteadyClock = std::chrono::steady_clock;

Result<std::shared_ptr<crypto::TlsContext>> make_context(const TrustPolicy& trust) {
  crypto::TlsClientOptions options;
  switch (trust.mode) {
    case TrustPolicy::Mode::kCaPin: options.trust = crypto::TlsTrust::pin(trust.ca_pin); break;
    case TrustPolicy::Mode::kSystem: options.trust = crypto::TlsTrust::system_roots(); break;
    case TrustPolicy::Mode::kInsecure: options.trust = crypto::TlsTrust::none(); break;
  }
  options.alpn = {"http/1.1"};
  return crypto::TlsContext::client(std::move(options));
}

std::string with_what_to_do(const TrustPolicy& trust, PeerKind peer, const HostPort& target, const std::string& why) {
  if (peer == PeerKind::kOther) return fmt::format("the certificate of {} is not trusted ({})", target.text(), why);
  if (trust.mode == TrustPolicy::Mode::kCaPin) {
    return fmt::format(
        "{} is not the hub that --ca-pin names ({}); compare with `mezctl ca status` on the hub, and do not go on if "
        "they differ",
        target.text(), why);
  }
  return fmt::format(
      "the certificate of {} is not trusted ({}); pass --ca-pin=sha256:… as `mezctl ca status` prints it on the hub",
      target.text(), why);
}

std::string_view is_it_the_hub(PeerKind peer) {
  return peer == PeerKind::kHub ? "; is it the hub's web port (3080)?" : "";
}

// A TLS session, or plain bytes, over a blocking socket with one deadline for everything.
class Session {
 public:
  static Result<Session> open(const HostPort& target, const TrustPolicy& trust, std::chrono::milliseconds timeout,
                              Scheme scheme = Scheme::kHttps, PeerKind peer = PeerKind::kHub) {
    Session session;
    session.target_ = target;
    session.peer_ = peer;
    session.deadline_ = SteadyClock::now() + timeout;
    if (scheme == Scheme::kHttp) {
      MEZ_TRY(auto plain, connect_blocking(target, timeout));
      session.fd_ = std::move(plain.fd);
      return session;
    }
    MEZ_TRY(auto context, make_context(trust));
    MEZ_TRY(auto connected, connect_blocking(target, timeout));
    session.fd_ = std::move(connected.fd);
    MEZ_TRY(session.tls_, crypto::TlsEngine::connect(std::move(context), target.host));
    while (!session.tls_->handshake_done()) {
      MEZ_CHECK(session.flush());
      if (session.tls_->handshake_done()) break;
      MEZ_TRY(bool more, session.receive(trust));
      if (!more && !session.tls_->handshake_done()) {
        return fail(ErrorCode::kUnavailable, "{} closed the connection during the TLS handshake{}", target.text(),
                    is_it_the_hub(peer));
      }
    }
    MEZ_CHECK(session.flush());
    return session;
  }

  Status send(BytesView bytes) {
    if (tls_) {
      MEZ_CHECK(tls_->write(bytes));
      return flush();
    }
    while (!bytes.empty()) {
      MEZ_TRY(std::size_t n, send_some(bytes));
      bytes = bytes.subspan(n);
    }
    return {};
  }

  // Plaintext, or nothing at the peer's end.
  Result<Bytes> read() {
    if (!tls_) {
      Bytes out(std::size_t{64} << 10);
      MEZ_TRY(std::size_t n, receive_some(out));
      out.resize(n);
      return out;
    }
    for (;;) {
      Bytes out;
      MEZ_TRY(std::size_t n, tls_->read(out, std::size_t{64} << 10));
      if (n > 0) return out;
      if (tls_->peer_closed() || ended_) return Bytes{};
      MEZ_TRY(bool more, receive({}));
      if (!more) ended_ = true;
      MEZ_CHECK(flush());
    }
  }

  const crypto::TlsEngine* tls() const { return tls_.get(); }

 private:
  Status wait(short events) {
    for (;;) {
      auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline_ - SteadyClock::now());
      pollfd waiting{fd_.get(), events, 0};
      int ready = left.count() <= 0 ? 0 : ::poll(&waiting, 1, static_cast<int>(left.count()));
      if (ready > 0) return {};
      if (ready < 0 && errno == EINTR) continue;
      if (ready < 0) return fail_errno(errno, "waiting for " + target_.text());
      return fail(ErrorCode::kTimeout, "{} did not answer in time", target_.text());
    }
  }

  // At least one byte.
  Result<std::size_t> send_some(BytesView bytes) {
    for (;;) {
      MEZ_CHECK(wait(POLLOUT));
      ssize_t n = ::send(fd_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
      if (n > 0) return static_cast<std::size_t>(n);
      if (n < 0 && errno != EINTR && errno != EAGAIN) return lost();
    }
  }

  // 0 at the peer's end.
  Result<std::size_t> receive_some(std::span<std::uint8_t> buffer) {
    for (;;) {
      MEZ_CHECK(wait(POLLIN));
      ssize_t n = ::recv(fd_.get(), buffer.data(), buffer.size(), MSG_DONTWAIT);
      if (n >= 0) return static_cast<std::size_t>(n);
      if (errno != EINTR && errno != EAGAIN) return lost();
    }
  }

  std::unexpected<Error> lost() const {
    return fail(ErrorCode::kUnavailable, "lost the connection to {}: {}", target_.text(), std::strerror(errno));
  }

  Status flush() {
    while (tls_->has_ciphertext()) {
      MEZ_TRY(std::size_t n, send_some(tls_->peek_ciphertext()));
      tls_->drop_ciphertext(n);
    }
    return {};
  }

  // False at the peer's end.
  Result<bool> receive(const TrustPolicy& trust) {
    std::array<std::uint8_t, 16384> buffer;
    MEZ_TRY(std::size_t n, receive_some(buffer));
    if (n == 0) {
      tls_->feed_end();
      return false;
    }
    bool handshaking = !tls_->handshake_done();
    Status fed = tls_->feed({buffer.data(), n});
    if (fed) return true;
    (void)flush();  // the alert
    if (handshaking && fed.error().code == ErrorCode::kUnauthenticated) {
      return fail(ErrorCode::kUnauthenticated, "{}", with_what_to_do(trust, peer_, target_, fed.error().message));
    }
    if (handshaking) {
      return fail(ErrorCode::kUnavailable, "no TLS with {} ({}){}", target_.text(), fed.error().message,
                  is_it_the_hub(peer_));
    }
    return std::unexpected(fed.error());
  }

  HostPort target_;
  PeerKind peer_ = PeerKind::kHub;
  SteadyClock::time_point deadline_;
  UniqueFd fd_;
  std::unique_ptr<crypto::TlsEngine> tls_;
  bool ended_ = false;
};

ServerIdentity identity_of(const crypto::TlsEngine& tls) {
  ServerIdentity identity;
  auto chain = tls.peer_chain();
  if (!chain.empty()) identity.leaf_fingerprint = "sha256:" + chain.front().sha256_fingerprint_hex();
  for (const auto& certificate : chain) {
    if (certificate.is_ca()) identity.ca_pin = "sha256:" + certificate.spki_sha256_hex();
  }
  return identity;
}

bool is_clean(std::string_view text) {
  for (char c : text) {
    auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte == 0x7f) return false;
  }
  return true;
}

}  // namespace

Result<ClientResponse> request(const ClientRequest& request) {
  HostPort target{request.host, request.port};
  if (!request.target.starts_with('/') || !is_clean(request.target) || request.target.find(' ') != std::string::npos ||
      !is_clean(request.host)) {
    return fail(ErrorCode::kInvalidArgument, "'{}' is not a request target", printable(request.target));
  }
  MEZ_TRY(auto session, Session::open(target, request.trust, request.timeout, request.scheme, request.peer));
  std::string head =
      fmt::format("{} {} HTTP/1.1\r\nUser-Agent: mezite/0.1\r\nConnection: close\r\n", request.method, request.target);
  const bool default_port = request.port == (request.scheme == Scheme::kHttps ? 443 : 80);
  if (!request.headers.has("Host")) head += fmt::format("Host: {}\r\n", default_port ? request.host : target.text());
  for (const auto& [name, value] : request.headers.all()) {
    if (!is_clean(name) || !is_clean(value))
      return fail(ErrorCode::kInvalidArgument, "a header has a forbidden character");
    head += fmt::format("{}: {}\r\n", name, value);
  }
  if (!request.body.empty() || request.method != "GET")
    head += fmt::format("Content-Length: {}\r\n", request.body.size());
  head += "\r\n";
  head += request.body;
  Status sent = session.send(as_bytes(head));
  wipe(head);  // it may hold a password
  MEZ_CHECK(std::move(sent));

  ClientResponse response;
  Bytes pending;
  for (int interim = 0; interim < 8; ++interim) {
    ResponseParser parser(request.answer_limit_bytes, request.method == "HEAD");
    for (bool first = true; !parser.done(); first = false) {
      if (first && !pending.empty()) {  // what followed an interim answer
        MEZ_TRY(std::size_t used, parser.feed(pending));
        pending.erase(pending.begin(), pending.begin() + static_cast<std::ptrdiff_t>(used));
        continue;
      }
      MEZ_TRY(auto bytes, session.read());
      if (bytes.empty()) {
        MEZ_CHECK(parser.feed_end());
        break;
      }
      pending.insert(pending.end(), bytes.begin(), bytes.end());
      MEZ_TRY(std::size_t taken, parser.feed(pending));
      pending.erase(pending.begin(), pending.begin() + static_cast<std::ptrdiff_t>(taken));
    }
    parser.take(response.status, response.headers, response.body);
    if (response.status >= 200) break;
  }
  if (session.tls() == nullptr) return response;
  ServerIdentity identity = identity_of(*session.tls());
  response.ca_pin = std::move(identity.ca_pin);
  response.leaf_fingerprint = std::move(identity.leaf_fingerprint);
  return response;
}

Result<ServerIdentity> probe(const std::string& host, std::uint16_t port, std::chrono::milliseconds timeout) {
  MEZ_TRY(auto session, Session::open({host, port}, {TrustPolicy::Mode::kInsecure, {}}, timeout));
  return identity_of(*session.tls());
}

}  // namespace mezite::net::http
