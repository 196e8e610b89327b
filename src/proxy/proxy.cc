#include "proxy/proxy.hh"

#include <filesystem>
#include <future>

#include "auth/services.hh"
#include "base/log.hh"
#include "net/http/server.hh"
#include "proxy/agent_connection.hh"
#include "proxy/context.hh"
#include "proxy/host_identity.hh"
#include "proxy/node_reports.hh"
#include "proxy/ssh_front.hh"
#include "proxy/web_api.hh"
#include "proxy/web_tls.hh"

namespace mezite::proxy {
namespace {

constexpr std::size_t kWebBodyLimit = std::size_t{64} << 10;
constexpr std::chrono::hours kRenewEvery{24};    // certificates live for weeks
constexpr std::chrono::minutes kRereadEvery{1};  // of certificate files
constexpr std::chrono::seconds kLastWords{2};

}  // namespace

struct Proxy::State {
  State(auth::Services& services_in, net::ShardPool& shards_in)
      : services(services_in), shards(shards_in), context(services_in, shards_in), reports(context) {}

  // Runs f on the first shard, where the listeners live, and waits for it.
  template <class F>
  auto on_home(F f) {
    std::promise<std::invoke_result_t<F&>> promise;
    auto future = promise.get_future();
    home().post([&] {
      if constexpr (std::is_void_v<std::invoke_result_t<F&>>) {
        f();
        promise.set_value();
      } else {
        promise.set_value(f());
      }
    });
    return future.get();
  }
  net::Shard& home() { return shards.at(0); }

  Status open_listeners() {
    const auth::Config::Proxy& config = services.config.proxy;
    auto open = [this](const net::HostPort& address, net::AcceptHandler handler) {
      return net::Listener::open(home(), shards, address, std::move(handler));
    };
    MEZ_TRY(tunnel, open(config.tunnel_listen_addr, [this](net::Shard& shard, UniqueFd fd, net::Address peer) {
              serve_tunnel(context, reports, shard, std::move(fd), std::move(peer));
            }));
    MEZ_TRY(ssh, open(config.ssh_listen_addr, [this](net::Shard& shard, UniqueFd fd, net::Address peer) {
              serve_front(context, shard, std::move(fd), std::move(peer));
            }));
    context.ssh_port = ssh->port();
    MEZ_TRY(web, open(config.listen_addr, [this](net::Shard& shard, UniqueFd fd, net::Address peer) {
              http->serve(shard, std::move(fd), std::move(peer));
            }));
    web_port = web->port();
    tunnel_port = tunnel->port();
    reports.start(home());
    plan_renewal();
    if (services.config.proxy.tls_mode == auth::TlsMode::kFiles) plan_reread();
    return {};
  }

  void close_listeners() {
    web.reset();
    ssh.reset();
    tunnel.reset();
  }

  void plan_renewal() {
    home().after(kRenewEvery, [this] {
      renew([this] { return renew_ssh(); });
      if (tls && services.config.proxy.tls_mode == auth::TlsMode::kAuto) {
        renew([this] { return renew_web_tls(services, *tls); });
      }
      plan_renewal();
    });
  }

  void plan_reread() {
    home().after(kRereadEvery, [this] {
      std::error_code ignored;
      auto changed = std::filesystem::last_write_time(services.config.proxy.tls_cert_file, ignored);
      if (!ignored && changed != files_changed) {
        files_changed = changed;
        renew([this] { return renew_web_tls(services, *tls); });
      }
      plan_reread();
    });
  }

  void renew(std::function<Status()> how) {
    bool queued = services.workers.submit([how = std::move(how)] {
      if (Status renewed = how(); !renewed) {
        log::error("a certificate of the hub could not be renewed; the old one stays", {{"error", renewed.error()}});
      }
    });
    if (!queued) log::warn("too busy to renew the hub's certificates");
  }

  Status renew_ssh() {
    MEZ_TRY(SshIdentity identity, issue_ssh_identity(services));
    context.set_configs(std::move(identity.front), std::move(identity.tunnel));
    return {};
  }

  auth::Services& services;
  net::ShardPool& shards;
  Context context;
  NodeReports reports;
  std::shared_ptr<crypto::TlsContext> tls;
  std::unique_ptr<net::http::Server> http;
  std::unique_ptr<net::Listener> web;
  std::unique_ptr<net::Listener> ssh;
  std::unique_ptr<net::Listener> tunnel;
  std::filesystem::file_time_type files_changed{};
  std::uint16_t web_port = 0;
  std::uint16_t tunnel_port = 0;
};

Proxy::Proxy(std::unique_ptr<State> state) : state_(std::move(state)) {}

Result<std::unique_ptr<Proxy>> Proxy::start(auth::Services& services, net::ShardPool& shards) {
  auto state = std::make_unique<State>(services, shards);
  MEZ_CHECK(state->renew_ssh());
  MEZ_TRY(state->tls, make_web_tls(services));
  net::http::ServerOptions options;
  options.body_limit_bytes = kWebBodyLimit;
  net::http::Server::MakeTls make_tls;
  if (state->tls) {
    make_tls = [tls = state->tls]() -> std::unique_ptr<crypto::TlsEngine> {
      auto engine = crypto::TlsEngine::accept(tls);
      return engine ? std::move(*engine) : nullptr;
    };
  }
  state->http = std::make_unique<net::http::Server>(make_web_router(state->context), std::move(make_tls), options);
  State* raw = state.get();
  // From here on connections may come: what follows can't fail but for the listeners, which close with the state.
  std::unique_ptr<Proxy> proxy(new Proxy(std::move(state)));
  services.on_revision([raw](std::int64_t revision) { raw->context.tunnels.refresh(revision); });
  services.on_reissue([raw]() -> Status {
    MEZ_CHECK(raw->renew_ssh());
    if (!raw->tls || raw->services.config.proxy.tls_mode != auth::TlsMode::kAuto) return {};
    return renew_web_tls(raw->services, *raw->tls);
  });
  services.on_node_removed([raw](std::string_view node_id) {
    if (auto tunnel = raw->context.tunnels.find(node_id)) tunnel->disconnect("this node was removed from the cluster");
  });
  services.set_connection_probe([raw](std::string_view node_id) { return raw->context.tunnels.connected(node_id); });
  MEZ_CHECK(raw->on_home([raw] { return raw->open_listeners(); }));
  log::info("proxy listening", {{"web", raw->web_port}, {"ssh", raw->context.ssh_port}, {"tunnel", raw->tunnel_port}});
  return proxy;
}

void Proxy::drain(std::chrono::milliseconds limit) {
  Context& context = state_->context;
  if (context.draining.exchange(true)) return;
  // The web stays for /readyz: a balancer is to see it. New users and agents go elsewhere.
  state_->on_home([this] {
    state_->ssh.reset();
    state_->tunnel.reset();
  });
  std::size_t running = context.live.count(LiveKind::kCarrying);
  if (running > 0) log::info("draining", {{"connections", running}, {"limit", format_duration(limit)}});
  if (!context.live.wait_empty(LiveKind::kCarrying, limit)) {
    log::warn("connections are cut", {{"connections", context.live.count(LiveKind::kCarrying)}});
    context.live.stop_all(LiveKind::kCarrying);
    context.live.wait_empty(LiveKind::kCarrying, kLastWords);
  }
  state_->http->drain();
  state_->on_home([this] { state_->close_listeners(); });
  context.live.stop_all(LiveKind::kConnection);
  context.live.wait_empty(LiveKind::kConnection, kLastWords);
  state_->reports.flush();
}

Proxy::~Proxy() {
  if (!state_) return;
  state_->services.forget_listeners();
  // Nothing that refers to the state may be left: neither on a shard nor with a worker that would post to one.
  state_->shards.stop();
  state_->services.stop_workers();
  state_->shards.stop();
  state_->context.live.clear();
}

std::uint16_t Proxy::web_port() const { return state_->web_port; }
std::uint16_t Proxy::ssh_port() const { return state_->context.ssh_port; }
std::uint16_t Proxy::tunnel_port() const { return state_->tunnel_port; }

}  // namespace mezite::proxy
