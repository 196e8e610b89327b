#include "client/admin_trust.hh"

#include <poll.h>
#include <pwd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>

#include "base/file.hh"
#include "base/text.hh"
#include "crypto/tls.hh"
#include "net/connect.hh"

namespace mezite::client {
namespace {

namespace fs = std::filesystem;
using std::chrono::steady_clock;

Status wait_for(int fd, short events, steady_clock::time_point deadline) {
  for (;;) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline - steady_clock::now());
    if (left.count() <= 0) return fail(ErrorCode::kTimeout, "no answer in time");
    pollfd poll_fd{.fd = fd, .events = events, .revents = 0};
    const int ready = ::poll(&poll_fd, 1, static_cast<int>(left.count()));
    if (ready > 0) return {};
    if (ready < 0 && errno != EINTR) return fail_errno(errno, "waiting for the hub");
  }
}

// A TLS handshake that believes everybody: the chain is judged by the caller.
Result<std::vector<crypto::X509Certificate>> shake_hands(int fd, steady_clock::time_point deadline) {
  crypto::TlsClientOptions options;
  options.trust = crypto::TlsTrust::none();
  options.alpn = {"h2"};
  options.min_version = crypto::TlsVersion::kTls13;
  MEZ_TRY(auto context, crypto::TlsContext::client(std::move(options)));
  MEZ_TRY(auto engine, crypto::TlsEngine::connect(context, ""));
  MEZ_CHECK(engine->feed({}));
  std::array<std::uint8_t, 16 * 1024> buffer;
  while (!engine->handshake_done()) {
    Bytes out;
    engine->take_ciphertext(out);
    for (std::size_t sent = 0; sent < out.size();) {
      MEZ_CHECK(wait_for(fd, POLLOUT, deadline));
      const ssize_t count = ::send(fd, out.data() + sent, out.size() - sent, MSG_NOSIGNAL);
      if (count < 0) return fail_errno(errno, "speaking TLS");
      sent += static_cast<std::size_t>(count);
    }
    MEZ_CHECK(wait_for(fd, POLLIN, deadline));
    const ssize_t got = ::recv(fd, buffer.data(), buffer.size(), 0);
    if (got < 0) return fail_errno(errno, "speaking TLS");
    if (got == 0) return fail(ErrorCode::kProtocol, "it closed the connection in the TLS handshake");
    MEZ_CHECK(engine->feed(BytesView(buffer).first(static_cast<std::size_t>(got))));
  }
  return engine->peer_chain();
}

Result<HubIdentity> judge(const std::vector<crypto::X509Certificate>& chain) {
  if (chain.empty()) return fail(ErrorCode::kProtocol, "it shows no certificate");
  const crypto::X509Certificate& leaf = chain.front();
  const crypto::X509Certificate& ca = chain.back();
  if (chain.size() < 2 || !ca.is_ca()) {
    return fail(ErrorCode::kProtocol, "it does not show its CA, as a hub's API does; is this port 3025 of a hub?");
  }
  MEZ_CHECK(crypto::verify_x509_chain(chain, std::span(&ca, 1), system_clock().now(), crypto::X509Usage::kServer));
  // Agents have certificates of the same CA; one of them must not pass for the hub.
  const auto uris = leaf.uris();
  const auto names = leaf.dns_names();
  if (std::ranges::any_of(uris, [](const std::string& uri) { return uri.find("/agent/") != uri.npos; })) {
    return fail(ErrorCode::kProtocol, "it shows the certificate of an agent, not of a hub");
  }
  if (names.empty()) return fail(ErrorCode::kProtocol, "its certificate has no name");
  HubIdentity identity{
      .ca_pem = ca.to_pem(), .pin = "sha256:" + ca.spki_sha256_hex(), .server_name = names.front(), .pins = {}};
  for (const crypto::X509Certificate& other : std::span(chain).subspan(1)) {
    // A root in the chain proves nothing; that the leaf leads to it does.
    if (!other.is_signed_by(other) ||
        !crypto::verify_x509_chain(chain, std::span(&other, 1), system_clock().now(), crypto::X509Usage::kServer)) {
      continue;
    }
    identity.pins.push_back("sha256:" + other.spki_sha256_hex());
  }
  return identity;
}

fs::path home() {
  if (const char* set = std::getenv("HOME"); set && *set) return set;
  const passwd* entry = ::getpwuid(::getuid());
  return entry && entry->pw_dir ? entry->pw_dir : "/";
}

}  // namespace

Result<HubIdentity> look_at_hub(const net::HostPort& hub, std::chrono::milliseconds timeout) {
  const auto deadline = steady_clock::now() + timeout;
  auto connected = net::connect_blocking(hub, timeout);
  if (!connected) {
    return fail(connected.error().code, "{} (is the hub running there? --auth-server says where it is)",
                connected.error().message);
  }
  auto chain = shake_hands(connected->fd.get(), deadline);
  if (!chain) return fail(chain.error().code, "the hub at {} is not usable: {}", hub.text(), chain.error().message);
  auto identity = judge(*chain);
  if (!identity) {
    return fail(identity.error().code, "the hub at {} is not trustworthy: {}", hub.text(), identity.error().message);
  }
  return identity;
}

KnownHubs KnownHubs::of_user() {
  if (const char* folder = std::getenv("MEZCTL_HOME"); folder && *folder) return KnownHubs(fs::path(folder) / "known");
  return KnownHubs(home() / ".mezctl" / "known");
}

std::optional<std::string> KnownHubs::pin_of(const net::HostPort& hub) const {
  const auto content = read_file(file_, 1 << 20);
  if (!content) return std::nullopt;
  for (const std::string_view line : split(as_text(*content), '\n')) {
    const auto words = split(trim(line), ' ');
    if (words.size() == 2 && words[0] == hub.text() && crypto::parse_pin(words[1])) return std::string(words[1]);
  }
  return std::nullopt;
}

Status KnownHubs::remember(const net::HostPort& hub, std::string_view pin) {
  std::string text;
  if (const auto content = read_file(file_, 1 << 20)) {
    for (const std::string_view line : split(as_text(*content), '\n')) {
      if (!line.empty() && split(trim(line), ' ').front() != hub.text()) text += std::string(line) + "\n";
    }
  }
  text += fmt::format("{} {}\n", hub.text(), pin);
  MEZ_CHECK(make_directories(file_.parent_path(), 0700));
  return write_file(file_, as_bytes(text), 0600);
}

Result<HubIdentity> trust_hub(const net::HostPort& hub, const TrustQuestion& question, KnownHubs known,
                              std::chrono::milliseconds timeout) {
  std::string expected;
  if (!question.given_pin.empty()) {
    auto pin = crypto::parse_pin(question.given_pin);
    if (!pin) {
      return fail(ErrorCode::kInvalidArgument, "--ca-pin: {}", pin.error().message);
    }
    expected = "sha256:" + *pin;
  } else if (auto pin = known.pin_of(hub); pin && !question.insecure) {
    expected = *pin;
  }
  MEZ_TRY(HubIdentity identity, look_at_hub(hub, timeout));
  if (question.insecure && question.given_pin.empty()) return identity;
  if (!expected.empty()) {
    if (std::ranges::find(identity.pins, expected) != identity.pins.end()) {
      // The key that was known vouches for the one that signs now: that one is known from here on.
      if (question.given_pin.empty() && identity.pin != expected) MEZ_CHECK(known.remember(hub, identity.pin));
      return identity;
    }
    return fail(
        ErrorCode::kPermissionDenied,
        "the hub at {} is not the one expected: its CA is {}, the pin says {}; if the hub was set up anew, compare "
        "with 'mezctl ca status' there and give --ca-pin",
        hub.text(), identity.pin, expected);
  }
  if (question.ask && question.ask(hub, identity.pin)) {
    MEZ_CHECK(known.remember(hub, identity.pin));
    return identity;
  }
  return fail(ErrorCode::kPermissionDenied,
              "the hub at {} is not trusted yet; give --ca-pin=sha256:… as 'mezctl ca status' on the hub prints it "
              "(MEZITE_CA_PIN does the same)",
              hub.text());
}

}  // namespace mezite::client
