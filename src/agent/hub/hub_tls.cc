#include "agent/hub/hub_tls.hh"

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "base/clock.hh"
#include "base/file.hh"
#include "crypto/tls.hh"
#include "net/connect.hh"

namespace mezite::agent {
namespace {

Status handshake(crypto::TlsEngine& engine, int fd, SteadyTime deadline) {
  for (;;) {
    Bytes out;
    engine.take_ciphertext(out);
    MEZ_CHECK(write_all(fd, out));
    if (engine.handshake_done()) return {};
    auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline - system_clock().steady());
    pollfd poll{fd, POLLIN, 0};
    int ready = left.count() > 0 ? ::poll(&poll, 1, static_cast<int>(left.count())) : 0;
    if (ready < 0 && errno == EINTR) continue;
    if (ready <= 0) return fail(ErrorCode::kTimeout, "no answer to the TLS handshake");
    std::uint8_t chunk[16384];
    ssize_t n = ::recv(fd, chunk, sizeof chunk, 0);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return fail_errno(errno, "TLS handshake");
    if (n == 0) return fail(ErrorCode::kUnavailable, "the connection was closed in the TLS handshake");
    MEZ_CHECK(engine.feed({chunk, static_cast<std::size_t>(n)}));
  }
}

}  // namespace

Result<std::vector<crypto::X509Certificate>> hub_chain(const net::HostPort& hub, std::chrono::milliseconds timeout) {
  SteadyTime deadline = system_clock().steady() + timeout;
  MEZ_TRY(net::Connected connected, net::connect_blocking(hub, timeout));
  crypto::TlsClientOptions options;
  options.trust = crypto::TlsTrust::none();  // for looking only; pin_hub() decides
  options.alpn = {"h2"};
  MEZ_TRY(std::shared_ptr<crypto::TlsContext> context, crypto::TlsContext::client(std::move(options)));
  MEZ_TRY(std::unique_ptr<crypto::TlsEngine> engine, crypto::TlsEngine::connect(context, hub.host));
  if (Status done = handshake(*engine, connected.fd.get(), deadline); !done) {
    return fail(ErrorCode::kUnavailable,
                "{} does not complete a TLS handshake: {}; is that the hub's gRPC port, without a balancer that ends "
                "TLS in front of it?",
                hub.text(), done.error().message);
  }
  std::vector<crypto::X509Certificate> chain = engine->peer_chain();
  if (chain.empty()) return fail(ErrorCode::kProtocol, "{} shows no certificate", hub.text());
  return chain;
}

std::string shown_pin(std::span<const crypto::X509Certificate> chain) {
  return chain.empty() ? std::string("none") : "sha256:" + chain.back().spki_sha256_hex();
}

Result<PinnedHub> pin_hub(std::span<const crypto::X509Certificate> chain, const std::vector<std::string>& pins,
                          SystemTime now) {
  if (pins.empty()) return fail(ErrorCode::kInvalidArgument, "there is no pin of the Host CA");
  std::vector<crypto::X509Certificate> roots;
  for (const std::string& pin : pins) {
    // From the end: while the Host CA is rotated, a cross certificate of the same key comes before the root.
    auto found = std::find_if(chain.rbegin(), chain.rend(), [&](const crypto::X509Certificate& certificate) {
      return certificate.is_ca() && certificate.spki_sha256_hex() == pin;
    });
    if (found == chain.rend()) {
      return fail(ErrorCode::kUnauthenticated,
                  "the hub's Host CA does not have the pin sha256:{}, it shows {}; if the Host CA was changed since, "
                  "delete MEZITE_DATA_DIR and join again with a fresh token",
                  pin, shown_pin(chain));
    }
    roots.push_back(*found);
  }
  // Of more pins than one each must stand for the CA of this very leaf.
  for (const crypto::X509Certificate& root : roots) {
    MEZ_CHECK(crypto::verify_x509_chain(chain, {&root, 1}, now, crypto::X509Usage::kServer));
  }
  std::vector<std::string> names = chain[0].dns_names();
  if (names.empty()) return fail(ErrorCode::kUnauthenticated, "the hub's certificate has no name");
  return PinnedHub{.ca_pem = roots[0].to_pem(), .server_name = names[0]};
}

}  // namespace mezite::agent
