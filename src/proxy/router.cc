#include "proxy/router.hh"

#include "base/log.hh"
#include "base/text.hh"

namespace mezite::proxy {

struct Router::Pending {
  net::Shard& home;
  DialTarget target;
  Then then;             // on home's thread
  net::TimerId timer{};  // on home's thread
};

void Router::dial(net::Shard& home, DialTarget target, Then then) {
  auto pending = std::make_shared<Pending>(Pending{home, std::move(target), std::move(then)});
  std::shared_ptr<Tunnel> tunnel = tunnels_.find(pending->target.node_id);
  if (!tunnel) {
    const DialTarget& to = pending->target;
    return finish(pending, fail(ErrorCode::kUnavailable, "node '{}' is not connected; last seen {}", to.node_name,
                                to.last_seen.empty() ? "never" : to.last_seen));
  }
  auto token = tokens_.put(pending);
  if (!token) return finish(pending, std::unexpected(token.error()));
  pending->timer = home.after(kDialLife, [this, pending] {
    pending->timer = net::TimerId::kNone;
    finish(pending, fail(ErrorCode::kTimeout, "node '{}' did not dial back in time; is the hub's port 3024 open to it?",
                         pending->target.node_name));
  });
  tunnel->dial({*token, pending->target.client_address, pending->target.user, pending->target.least_revision});
}

// Any thread.
void Router::finish(const std::shared_ptr<Pending>& pending, Result<Dialed> result) {
  pending->home.post([pending, result = std::move(result)]() mutable {
    pending->home.cancel(pending->timer);
    if (auto then = std::exchange(pending->then, nullptr)) then(std::move(result));
  });
}

bool Router::arrived(std::string_view token, UniqueFd fd, Bytes first_bytes) {
  auto pending = tokens_.take(token);
  if (!pending) return false;
  finish(*pending, Dialed{std::move(fd), std::move(first_bytes)});
  return true;
}

void Router::failed(std::string_view token, std::string_view node_id, std::string_view why) {
  auto pending = tokens_.take(token);
  if (!pending) return;
  const DialTarget& target = (*pending)->target;
  if (target.node_id != node_id) {
    // Nobody but the node that was asked can know the token.
    log::warn("an agent spoke of another's dial request", {{"node", node_id}, {"asked", target.node_id}});
    return finish(*pending, fail(ErrorCode::kUnavailable, "node '{}' could not be reached", target.node_name));
  }
  finish(*pending, fail(ErrorCode::kUnavailable, "node '{}' could not dial back: {}", target.node_name,
                        printable(why.substr(0, 300))));
}

}  // namespace mezite::proxy
