#include "cmd/mezhub/hub.hh"

#include <signal.h>

#include <memory>

#include "auth/record.hh"
#include "auth/rpc/server.hh"
#include "auth/services.hh"
#include "auth/use/retired_keys.hh"
#include "auth/version.hh"
#include "base/log.hh"
#include "base/notify.hh"
#include "base/text.hh"
#include "net/listener.hh"
#include "net/shard.hh"
#include "proxy/proxy.hh"

namespace mezite::hub {
namespace {

constexpr std::chrono::hours kSweepEvery{1};
constexpr std::chrono::seconds kCallGrace{5};

// Before anything is made on disk: a port that is taken is the most common mistake, and must leave nothing behind.
Status probe_ports(net::Shard& shard, net::ShardPool& shards, const auth::Config& config) {
  struct Wanted {
    std::string_view key;
    const net::HostPort& address;
  };
  std::vector<Wanted> wanted = {{"auth.listen_addr", config.auth.listen_addr}};
  if (config.proxy.enabled) {
    wanted.push_back({"proxy.listen_addr", config.proxy.listen_addr});
    wanted.push_back({"proxy.ssh_listen_addr", config.proxy.ssh_listen_addr});
    wanted.push_back({"proxy.tunnel_listen_addr", config.proxy.tunnel_listen_addr});
  }
  for (const Wanted& one : wanted) {
    auto listener = net::Listener::open(shard, shards, one.address, [](net::Shard&, UniqueFd, net::Address) {});
    if (!listener) {
      return fail(ErrorCode::kUnavailable, "{}: {}; stop the program that has it, or set {} to another address",
                  one.key, listener.error().message, one.key);
    }
  }
  return {};
}

class Hub {
 public:
  Hub(std::optional<std::filesystem::path> file) : file_(std::move(file)) {}

  Status run(auth::Config config) {
    if (Status started = start(std::move(config)); !started) {
      stop();
      return started;
    }
    tell_supervisor("READY=1");
    settle_retired_keys();
    plan_sweep();
    shard_.run();
    if (proxy_) proxy_->drain(services_->config.proxy.drain_timeout);
    stop();
    log::info("mezhub stopped");
    return {};
  }

 private:
  Status start(auth::Config config) {
    MEZ_CHECK(shard_.on_signals({SIGTERM, SIGINT, SIGHUP}, [this](int signal) { on_signal(signal); }));
    MEZ_CHECK(probe_ports(shard_, shards_, config));
    MEZ_TRY(services_, auth::Services::open(std::move(config)));
    MEZ_TRY(server_, auth::rpc::Server::start(*services_, shard_, shards_));
    shards_.start();
    const auth::Config& settings = services_->config;
    if (settings.proxy.enabled) {
      MEZ_TRY(proxy_, proxy::Proxy::start(*services_, shards_));
    }
    MEZ_CHECK(note(audit::EventKind::kHubStarted));
    started_ = true;
    log::info("mezhub started", {{"version", auth::version()},
                                 {"cluster", settings.cluster_name},
                                 {"database", settings.redacted_dsn()},
                                 {"data_dir", settings.data_dir.string()}});
    return {};
  }

  void on_signal(int signal) {
    if (signal == SIGHUP) return reload();
    log::info("stopping", {{"signal", signal == SIGTERM ? "SIGTERM" : "SIGINT"}});
    tell_supervisor("STOPPING=1");
    shard_.stop();
  }

  void reload() {
    Result<auth::Config> fresh = auth::load_config(file_, auth::process_environment());
    if (!fresh) {
      return log::error("the configuration was not reloaded; the old one stays in force", {{"error", fresh.error()}});
    }
    log::set_level(fresh->log.level);
    log::set_format(fresh->log.format);
    std::vector<std::string> waiting;
    for (std::string& key : auth::changed_keys(services_->config, *fresh)) {
      if (!key.starts_with("log.")) waiting.push_back(std::move(key));
    }
    log::info("configuration reloaded", {{"needs_restart", join(waiting, ", ")}});
  }

  // A hub that ended between a rotation's last step and this has it to do.
  void settle_retired_keys() {
    [[maybe_unused]] bool taken =
        services_->workers.submit([services = services_.get()] { auth::settle_retired_keys(*services); });
  }

  void plan_sweep() {
    shard_.after(kSweepEvery, [this] {
      bool taken = services_->workers.submit([services = services_.get()] {
        if (Status swept = services->identity->sweep(); !swept) {
          log::warn("old sessions and tokens could not be cleared away", {{"error", swept.error()}});
        }
        auth::settle_retired_keys(*services);
      });
      if (!taken) log::warn("the hub is too busy to clear old sessions and tokens away");
      plan_sweep();
    });
  }

  // Whatever of it runs. Requests first, then what may still be at work on them, then what they worked on.
  void stop() {
    if (server_) server_->stop(kCallGrace);
    shards_.stop();
    if (!services_) return;
    services_->stop_workers();
    services_->forget_listeners();
    proxy_.reset();
    server_.reset();
    if (started_) {
      if (Status noted = note(audit::EventKind::kHubStopped); !noted) {
        log::error("the stop could not be written to the audit log", {{"error", noted.error()}});
      }
    }
    services_.reset();
  }

  Status note(audit::EventKind kind) {
    audit::Event event = audit::make_event(kind, services_->clock);
    event.resource_type = "hub";
    event.resource_name = services_->cluster_name();
    event.details = audit::Details().add("version", auth::version()).text();
    return auth::record(*services_, event);
  }

  static void tell_supervisor(std::string_view state) {
    if (Status told = notify_supervisor(state); !told) {
      log::warn("the supervisor could not be told", {{"error", told.error()}});
    }
  }

  std::optional<std::filesystem::path> file_;
  bool started_ = false;
  net::Shard shard_;  // signals, timers, the admin socket; this thread
  net::ShardPool shards_;
  std::unique_ptr<auth::Services> services_;
  std::unique_ptr<auth::rpc::Server> server_;
  std::unique_ptr<proxy::Proxy> proxy_;
};

}  // namespace

Status block_hub_signals() { return net::Shard::block_signals({SIGTERM, SIGINT, SIGHUP, SIGPIPE}); }

Status run(auth::Config config, const std::optional<std::filesystem::path>& file) {
  auth::rpc::prepare_process();
  return Hub(file).run(std::move(config));
}

}  // namespace mezite::hub
