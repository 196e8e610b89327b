#include "net/tls_tunnel.hh"

#include <sys/socket.h>

#include <cerrno>

#include "base/log.hh"
#include "crypto/tls.hh"
#include "net/stream.hh"

namespace mezite::net {
namespace {

// Both ends keep each other and themselves alive until they have ended.
class Tunnel : public std::enable_shared_from_this<Tunnel> {
 public:
  void open(Shard& shard, UniqueFd outside, std::unique_ptr<crypto::TlsEngine> tls, UniqueFd inside) {
    self_ = shared_from_this();
    outside_.stream = std::make_unique<Stream>(shard, std::move(outside), Address{}, std::move(tls));
    inside_.stream = std::make_unique<Stream>(shard, std::move(inside), Address{});
    outside_.bind(*this, inside_);
    inside_.bind(*this, outside_);
    outside_.stream->start(outside_);
    inside_.stream->start(inside_);
  }

 private:
  struct End final : StreamHandler {
    void bind(Tunnel& tunnel, End& far) {
      owner = &tunnel;
      other = &far;
    }
    void on_data(BytesView bytes) override {
      other->stream->write(bytes);
      if (other->stream->above_high_water()) stream->pause_reading();
    }
    void on_writable() override { other->stream->resume_reading(); }
    void on_end() override {
      ended = true;
      other->stream->shutdown_write();
      if (other->ended) owner->finish();
    }
    void on_closed(const Error& why) override {
      log::debug("a TLS tunnel ended", {{"error", why}});
      owner->finish();
    }

    Tunnel* owner = nullptr;
    End* other = nullptr;
    std::unique_ptr<Stream> stream;
    bool ended = false;
  };

  // Within a call of one of the streams: they may go only when that has returned.
  void finish() {
    if (!self_) return;
    for (End* end : {&outside_, &inside_}) {
      if (end->stream->is_open()) end->stream->close_after_flush();
    }
    outside_.stream->shard().at_end_of_turn([self = std::move(self_)] {});
  }

  End outside_, inside_;
  std::shared_ptr<Tunnel> self_;
};

}  // namespace

Result<UniqueFd> open_tls_tunnel(Shard& shard, UniqueFd connected, std::unique_ptr<crypto::TlsEngine> tls) {
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) != 0) {
    return fail_errno(errno, "making a socket pair");
  }
  UniqueFd inner(ends[0]), ours(ends[1]);
  std::make_shared<Tunnel>()->open(shard, std::move(connected), std::move(tls), std::move(ours));
  return inner;
}

}  // namespace mezite::net
