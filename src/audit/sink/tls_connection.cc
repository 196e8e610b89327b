#include "audit/sink/tls_connection.hh"

#include <errno.h>
#include <fmt/format.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <system_error>

#include "audit/sink/public_address.hh"
#include "base/file.hh"

namespace mezite::audit {

namespace {

constexpr int kSliceMs = 200;  // how soon a stop is seen

Status wait_on(int fd, short events, SteadyTime deadline, const StopFlag& stop) {
  while (true) {
    if (stop) return fail(ErrorCode::kUnavailable, "the hub is stopping");
    auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline - system_clock().steady()).count();
    if (left <= 0) return fail(ErrorCode::kTimeout, "no answer in time");
    pollfd one{.fd = fd, .events = events, .revents = 0};
    int ready = ::poll(&one, 1, static_cast<int>(std::min<std::int64_t>(left, kSliceMs)));
    if (ready > 0) return {};
    if (ready < 0 && errno != EINTR) return fail_errno(errno, "poll");
  }
}

Result<UniqueFd> connect_one(const addrinfo& address, SteadyTime deadline, const StopFlag& stop) {
  UniqueFd fd(::socket(address.ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd) return fail_errno(errno, "socket");
  int on = 1;
  ::setsockopt(fd.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  if (::connect(fd.get(), address.ai_addr, address.ai_addrlen) != 0) {
    if (errno != EINPROGRESS) return fail_errno(errno, "connect");
    MEZ_CHECK(wait_on(fd.get(), POLLOUT, deadline, stop));
    int error = 0;
    socklen_t size = sizeof error;
    if (::getsockopt(fd.get(), SOL_SOCKET, SO_ERROR, &error, &size) != 0) error = errno;
    if (error != 0) return fail_errno(error, "connect");
  }
  return fd;
}

// Looks at the very addresses that are connected to: a name that resolves to another one later gains nothing.
Result<UniqueFd> connect_any(const net::HostPort& target, Reach reach, SteadyTime deadline, const StopFlag& stop) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  if (int problem = ::getaddrinfo(target.host.c_str(), std::to_string(target.port).c_str(), &hints, &found);
      problem != 0) {
    return fail(ErrorCode::kUnavailable, "{}", ::gai_strerror(problem));
  }
  std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> owner(found, ::freeaddrinfo);
  Error last{ErrorCode::kPermissionDenied,
             "it is at a private address, which audit.sink.webhook_allow_private would allow"};
  for (const addrinfo* one = found; one != nullptr; one = one->ai_next) {
    if (reach == Reach::kPublicOnly && !is_public_address(*one->ai_addr)) continue;
    auto connected = connect_one(*one, deadline, stop);
    if (connected) return connected;
    last = connected.error();
  }
  return std::unexpected(last);
}

}  // namespace

Result<std::shared_ptr<crypto::TlsContext>> sink_tls_context(const std::filesystem::path& ca_file) {
  crypto::TlsClientOptions options;
  if (!ca_file.empty()) {
    MEZ_TRY(Bytes pem, read_file(ca_file));
    auto roots = crypto::X509Certificate::all_from_pem(as_text(pem));
    if (!roots || roots->empty()) {
      return fail(ErrorCode::kInvalidArgument, "{} holds no certificate in PEM form", ca_file.string());
    }
    options.trust = crypto::TlsTrust::root_set(std::move(*roots));
  }
  return crypto::TlsContext::client(std::move(options));
}

std::unexpected<Error> TlsConnection::failure(const Error& error) const {
  return std::unexpected(Error{error.code, fmt::format("{}: {}", name_, error.message)});
}

Result<TlsConnection> TlsConnection::connect(const net::HostPort& target, std::shared_ptr<crypto::TlsContext> context,
                                             Reach reach, SteadyTime deadline, const StopFlag& stop) {
  auto fd = connect_any(target, reach, deadline, stop);
  if (!fd) return wrap(fd.error(), target.text());
  MEZ_TRY(auto engine, crypto::TlsEngine::connect(std::move(context), target.host));
  TlsConnection connection(std::move(*fd), std::move(engine), target.text(), deadline, stop);
  while (!connection.engine_->handshake_done()) {
    MEZ_CHECK(connection.flush());
    MEZ_TRY(bool more, connection.fill());
    if (!more) return fail(ErrorCode::kProtocol, "{}: it ended the connection during the TLS handshake", target.text());
  }
  MEZ_CHECK(connection.flush());
  return connection;
}

Status TlsConnection::wait(short events) {
  Status ready = wait_on(fd_.get(), events, deadline_, *stop_);
  if (!ready) return failure(ready.error());
  return {};
}

Status TlsConnection::flush() {
  while (engine_->has_ciphertext()) {
    BytesView bytes = engine_->peek_ciphertext();
    ssize_t n = ::send(fd_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (n > 0) {
      engine_->drop_ciphertext(static_cast<std::size_t>(n));
    } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
      MEZ_CHECK(wait(POLLOUT));
    } else if (errno != EINTR) {
      return fail_errno(errno, name_);
    }
  }
  return {};
}

Result<bool> TlsConnection::fill() {
  std::array<std::uint8_t, 16384> buffer;
  while (true) {
    ssize_t n = ::recv(fd_.get(), buffer.data(), buffer.size(), 0);
    if (n > 0) {
      Status fed = engine_->feed(BytesView(buffer).first(static_cast<std::size_t>(n)));
      if (!fed) {
        (void)flush();  // the alert
        return failure(fed.error());
      }
      return true;
    }
    if (n == 0) {
      engine_->feed_end();
      return false;
    }
    if (errno == EAGAIN || errno == EWOULDBLOCK) {
      MEZ_CHECK(wait(POLLIN));
    } else if (errno != EINTR) {
      return fail_errno(errno, name_);
    }
  }
}

Status TlsConnection::send(std::string_view text) {
  constexpr std::size_t kPiece = 64 << 10;
  while (!text.empty()) {
    std::string_view piece = text.substr(0, kPiece);
    if (Status written = engine_->write(as_bytes(piece)); !written) return failure(written.error());
    text.remove_prefix(piece.size());
    MEZ_CHECK(flush());
  }
  return {};
}

Result<std::size_t> TlsConnection::receive(std::string& out) {
  while (true) {
    std::array<std::uint8_t, 16384> buffer;
    auto got = engine_->read(buffer);
    if (!got) return failure(got.error());
    if (*got > 0) {
      out.append(as_text(BytesView(buffer).first(*got)));
      return *got;
    }
    if (engine_->peer_closed()) return std::size_t{0};
    MEZ_TRY(bool more, fill());
    if (!more) return std::size_t{0};
  }
}

Status TlsConnection::finish() {
  if (Status closed = engine_->close_notify(); !closed) return failure(closed.error());
  MEZ_CHECK(flush());
  ::shutdown(fd_.get(), SHUT_WR);
  std::string ignored;
  while (true) {
    MEZ_TRY(std::size_t got, receive(ignored));
    if (got == 0) return {};
    ignored.clear();
  }
}

}  // namespace mezite::audit
