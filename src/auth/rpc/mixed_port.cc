#include "auth/rpc/mixed_port.hh"

#include <grpcpp/grpcpp.h>
#include <sys/socket.h>

#include "auth/rpc/h2c_upgrade.hh"
#include "base/log.hh"
#include "net/first_bytes.hh"

namespace mezite::auth::rpc {
namespace {

using Acceptor = grpc::experimental::ExternalConnectionAcceptor;
constexpr auto kFromFd = grpc::ServerBuilder::experimental_type::ExternalConnectionType::FROM_FD;

constexpr std::chrono::seconds kSilence{20};
constexpr std::size_t kMaxFirstBytes = 128 << 10;
constexpr std::uint8_t kTlsHandshake = 22;
// Behind a load balancer everybody comes from one address.
constexpr net::Admission::Limits kLimits{
    .per_second = 1000, .burst = 2000, .half_open_per_source = 1024, .half_open = 1024, .sources = 65536};

enum class Speech { kUnknown, kTls, kHttp2, kHttp1 };

Speech speech_of(BytesView said) {
  if (said.empty()) return Speech::kUnknown;
  if (said[0] == kTlsHandshake) return Speech::kTls;
  const std::size_t known = std::min(said.size(), kHttp2Preface.size());
  if (!std::ranges::equal(said.first(known), as_bytes(kHttp2Preface).first(known))) return Speech::kHttp1;
  return known == kHttp2Preface.size() ? Speech::kHttp2 : Speech::kUnknown;
}

// A few bytes on a socket that nothing has been sent on.
bool send_all(const UniqueFd& fd, std::string_view text) {
  return ::send(fd.get(), text.data(), text.size(), MSG_NOSIGNAL | MSG_DONTWAIT) == static_cast<ssize_t>(text.size());
}

}  // namespace

struct MixedPort::Door : std::enable_shared_from_this<MixedPort::Door> {
  std::unique_ptr<Acceptor> tls, clear;
  net::Admission admission{kLimits};

  static void enter(Acceptor& acceptor, net::FirstBytes&& peer) {
    const grpc::Slice slice(peer.bytes.data(), peer.bytes.size());
    Acceptor::NewConnectionParameters connection;
    connection.read_buffer = grpc::ByteBuffer(&slice, 1);
    connection.fd = peer.fd.release();
    acceptor.HandleNewConnection(&connection);  // closes it when the server stops
  }

  void accept(net::Shard& shard, UniqueFd fd, const net::Address& peer) {
    auto end = std::make_shared<std::function<void()>>();
    auto pass = admission.admit(peer, [&shard, end] {
      shard.post([end] {
        if (*end) (*end)();
      });
    });
    if (!pass) return;
    auto then = [self = shared_from_this(), &shard, pass = std::move(*pass)](Result<net::FirstBytes> first) mutable {
      if (!first) return;
      switch (speech_of(first->bytes)) {
        case Speech::kTls: return enter(*self->tls, std::move(*first));
        case Speech::kHttp2: return enter(*self->clear, std::move(*first));
        default: return self->upgrade(shard, std::move(*first), std::make_shared<H2cUpgrade>(), std::move(pass));
      }
    };
    *end = net::read_first_bytes(
        shard, std::move(fd), kMaxFirstBytes, kSilence,
        [](BytesView said) {
          return speech_of(said) == Speech::kUnknown ? net::FirstBytesVerdict::kMore : net::FirstBytesVerdict::kEnough;
        },
        std::move(then));
  }

  void upgrade(net::Shard& shard, net::FirstBytes peer, std::shared_ptr<H2cUpgrade> request,
               net::Admission::Pass pass) {
    auto wants = request->feed(peer.bytes);
    if (wants && *wants == H2cUpgrade::Wants::kReply) {
      if (!send_all(peer.fd, H2cUpgrade::reply())) return;
      wants = request->feed({});
    }
    if (!wants) {
      send_all(peer.fd, H2cUpgrade::refusal());
      return;
    }
    if (*wants == H2cUpgrade::Wants::kNothing) {
      peer.bytes = request->hand_over();
      return enter(*clear, std::move(peer));
    }
    auto then = [self = shared_from_this(), &shard, request,
                 pass = std::move(pass)](Result<net::FirstBytes> more) mutable {
      if (more) self->upgrade(shard, std::move(*more), std::move(request), std::move(pass));
    };
    // A piece at a time: the upgrade knows when it has enough.
    net::read_first_bytes(
        shard, std::move(peer.fd), kMaxFirstBytes, kSilence,
        [](BytesView said) { return said.empty() ? net::FirstBytesVerdict::kMore : net::FirstBytesVerdict::kEnough; },
        std::move(then));
  }
};

MixedPort::MixedPort(grpc::ServerBuilder& builder, const std::shared_ptr<grpc::ServerCredentials>& tls)
    : door_(std::make_shared<Door>()) {
  door_->tls = builder.experimental().AddExternalConnectionAcceptor(kFromFd, tls);
  door_->clear = builder.experimental().AddExternalConnectionAcceptor(kFromFd, grpc::InsecureServerCredentials());
}

MixedPort::~MixedPort() = default;

Status MixedPort::listen(net::Shard& shard, net::ShardPool& shards, const net::HostPort& address) {
  auto accepted = [door = door_](net::Shard& on, UniqueFd fd, const net::Address& peer) {
    door->accept(on, std::move(fd), peer);
  };
  MEZ_TRY(listener_, net::Listener::open(shard, shards, address, std::move(accepted)));
  return {};
}

}  // namespace mezite::auth::rpc
