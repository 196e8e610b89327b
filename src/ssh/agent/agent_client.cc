#include "ssh/agent/agent_client.hh"

#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "ssh/wire/reader.hh"
#include "ssh/wire/writer.hh"

namespace mezite::ssh {
namespace {

// draft-ietf-sshm-ssh-agent §5.1.
enum AgentMessage : std::uint8_t {
  kFailure = 5,
  kSuccess = 6,
  kRequestIdentities = 11,
  kIdentitiesAnswer = 12,
  kSignRequest = 13,
  kSignResponse = 14,
  kAddIdentity = 17,
  kRemoveIdentity = 18,
  kAddIdConstrained = 25,
};
constexpr std::uint8_t kConstrainLifetime = 1;
constexpr std::uint32_t kFlagRsaSha256 = 2;
constexpr std::uint32_t kFlagRsaSha512 = 4;

constexpr std::size_t kMaxAnswer = 256 * 1024;  // as OpenSSH
constexpr auto kTimeout = std::chrono::seconds(5);
constexpr auto kTouchTimeout = std::chrono::seconds(60);  // until somebody has touched a security key

// Sends or receives all of the bytes before the deadline.
template <class Step>
Status transfer(int fd, short event, std::size_t size, SteadyTime deadline, Step step) {
  std::size_t done = 0;
  while (done < size) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline - system_clock().steady());
    if (left.count() <= 0) return fail(ErrorCode::kTimeout, "ssh-agent does not answer");
    pollfd wait{fd, event, 0};
    const int ready = ::poll(&wait, 1, static_cast<int>(left.count()));
    if (ready == 0 || (ready < 0 && errno == EINTR)) continue;
    const ssize_t moved = step(done);
    if (moved == 0) return fail(ErrorCode::kUnavailable, "ssh-agent closed the connection");
    if (moved < 0 && (errno == EINTR || errno == EAGAIN)) continue;
    if (moved < 0) return fail_errno(errno, "talking to ssh-agent");
    done += static_cast<std::size_t>(moved);
  }
  return {};
}

}  // namespace

Result<AgentClient> AgentClient::from_environment() {
  const char* path = ::getenv("SSH_AUTH_SOCK");
  if (path == nullptr || *path == '\0') {
    return fail(ErrorCode::kNotFound, "no ssh-agent is running here (SSH_AUTH_SOCK is not set)");
  }
  return connect(path);
}

Result<AgentClient> AgentClient::connect(const std::filesystem::path& socket) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::string path = socket.string();
  if (path.size() >= sizeof address.sun_path) return fail(ErrorCode::kInvalidArgument, "socket path is too long");
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!fd || ::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    return fail_errno(errno, "connecting to ssh-agent");
  }
  return AgentClient(std::move(fd));
}

Result<Bytes> AgentClient::call(BytesView request, std::chrono::seconds timeout) {
  const SteadyTime deadline = system_clock().steady() + timeout;
  Secret frame;  // may hold a private key
  Bytes head;
  Writer(head).u32(static_cast<std::uint32_t>(request.size()));
  frame.append(head);
  frame.append(request);
  MEZ_CHECK(transfer(fd_.get(), POLLOUT, frame.size(), deadline, [&](std::size_t done) {
    return ::send(fd_.get(), frame.view().data() + done, frame.size() - done, MSG_NOSIGNAL | MSG_DONTWAIT);
  }));
  Bytes answer(4);
  const auto receive = [&](std::size_t done) {
    return ::recv(fd_.get(), answer.data() + done, answer.size() - done, MSG_DONTWAIT);
  };
  MEZ_CHECK(transfer(fd_.get(), POLLIN, answer.size(), deadline, receive));
  const std::uint32_t size = Reader(answer).u32();
  if (size == 0 || size > kMaxAnswer) return fail(ErrorCode::kProtocol, "ssh-agent sent an answer of {} bytes", size);
  answer.resize(size);
  MEZ_CHECK(transfer(fd_.get(), POLLIN, answer.size(), deadline, receive));
  return answer;
}

Status AgentClient::expect_success(BytesView request, std::string_view doing) {
  MEZ_TRY(const Bytes answer, call(request, kTimeout));
  if (answer[0] != kSuccess) return fail(ErrorCode::kPermissionDenied, "ssh-agent refused {}", doing);
  return {};
}

Status AgentClient::add(const PrivateKey& key, const Certificate* certificate, std::string_view comment,
                        std::chrono::seconds lifetime) {
  MEZ_TRY(const Secret fields, key.private_fields());
  Secret request;
  const auto append = [&request](auto&& write) {
    Bytes bytes;
    Writer writer(bytes);
    write(writer);
    request.append(bytes);
  };
  append([&](Writer& out) { out.byte(lifetime.count() > 0 ? kAddIdConstrained : kAddIdentity); });
  if (certificate == nullptr) {
    request.append(fields.view());
  } else {
    if (!(certificate->public_key() == key.public_key())) {
      return fail(ErrorCode::kInvalidArgument, "the certificate is for another key");
    }
    // Type name of the certificate, the certificate, then the private fields; the agent takes the public ones from the
    // certificate except where Ed25519 and the RSA private list repeat them (OpenSSH sshkey_private_serialize).
    append([&](Writer& out) { out.string(certificate->name()).string(certificate->wire()); });
    Reader in(fields.view());
    in.string();  // plain type name
    switch (key.crypto_key().algorithm()) {
      case crypto::KeyAlgorithm::kEd25519: break;  // public and private again
      case crypto::KeyAlgorithm::kRsa:             // d, iqmp, p, q without n and e
        in.string();
        in.string();
        break;
      case crypto::KeyAlgorithm::kEcdsaP256:
      case crypto::KeyAlgorithm::kEcdsaP384:
      case crypto::KeyAlgorithm::kEcdsaP521:  // the scalar without curve and point
        in.string();
        in.string();
        break;
    }
    request.append(in.rest());
  }
  append([&](Writer& out) {
    out.string(comment);
    if (lifetime.count() > 0) {
      const auto seconds = std::min<std::int64_t>(lifetime.count(), UINT32_MAX);
      out.byte(kConstrainLifetime).u32(static_cast<std::uint32_t>(seconds));
    }
  });
  return expect_success(request.view(), "the key");
}

Status AgentClient::remove(BytesView blob) {
  Bytes request;
  Writer(request).byte(kRemoveIdentity).string(blob);
  return expect_success(request, "to forget the key");
}

Result<std::vector<AgentIdentity>> AgentClient::list() {
  const std::uint8_t request[] = {kRequestIdentities};
  MEZ_TRY(const Bytes answer, call(request, kTimeout));
  Reader in(answer);
  if (in.byte() != kIdentitiesAnswer) return fail(ErrorCode::kProtocol, "ssh-agent refused to list its keys");
  const std::uint32_t count = in.u32();
  std::vector<AgentIdentity> identities;
  for (std::uint32_t i = 0; i < count && !in.failed(); ++i) {
    const BytesView blob = in.string();
    const std::string_view comment = in.text();
    if (!in.failed()) identities.push_back({to_bytes(blob), std::string(comment)});
  }
  MEZ_CHECK(in.finish("ssh-agent's list of keys"));
  return identities;
}

Result<Bytes> AgentClient::sign(BytesView blob, std::string_view algorithm, BytesView message) {
  const std::uint32_t flags = algorithm == "rsa-sha2-256"   ? kFlagRsaSha256
                              : algorithm == "rsa-sha2-512" ? kFlagRsaSha512
                                                            : 0;
  Bytes request;
  Writer(request).byte(kSignRequest).string(blob).string(message).u32(flags);
  MEZ_TRY(const Bytes answer, call(request, algorithm.starts_with("sk-") ? kTouchTimeout : kTimeout));
  Reader in(answer);
  if (in.byte() != kSignResponse) return fail(ErrorCode::kPermissionDenied, "ssh-agent refused to sign");
  const BytesView signature = in.string();
  MEZ_CHECK(in.finish("ssh-agent's signature"));
  return to_bytes(signature);
}

}  // namespace mezite::ssh
