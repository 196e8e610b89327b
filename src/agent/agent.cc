#include "agent/agent.hh"

#include <signal.h>
#include <sys/socket.h>
#include <time.h>

#include <cerrno>
#include <deque>
#include <random>

#include "agent/hub/balancer.hh"
#include "agent/hub/control.hh"
#include "agent/hub/hub_api.hh"
#include "agent/join.hh"
#include "agent/kernel/tracer.hh"
#include "agent/outbox/senders.hh"
#include "agent/session/server.hh"
#include "agent/settings/version.hh"
#include "agent/workload/api.hh"
#include "base/file.hh"
#include "base/log.hh"
#include "base/notify.hh"
#include "net/connect.hh"
#include "recording/live.hh"

namespace mezite::agent {
namespace {

constexpr std::size_t kWorkers = 8;
constexpr std::chrono::seconds kDialLimit{10};
constexpr std::chrono::seconds kRevisionLimit{10};  // a dial waits that long for the snapshot that it asks for
constexpr std::chrono::seconds kRenewRetry{60};
constexpr std::chrono::seconds kStopLimit{8};
constexpr std::size_t kMaxWaitingDials = 1024;
constexpr std::chrono::seconds kLabelsStored{5};  // the hub writes reports every three seconds

// Sleeps, but for a signal that says stop. For the time before there is a loop.
bool pause_for(std::chrono::milliseconds time) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGTERM);
  sigaddset(&set, SIGINT);
  timespec limit{.tv_sec = time.count() / 1000, .tv_nsec = time.count() % 1000 * 1'000'000};
  while (::sigtimedwait(&set, nullptr, &limit) < 0) {
    if (errno == EAGAIN) return true;
  }
  return false;
}

NodeFacts facts_of(const AgentIdentity& identity, const Config& config) {
  return {.node_id = identity.node_id,
          .node_name = identity.node_name,
          .hostname = config.hostname,
          .labels = evaluate_labels(config)};
}

// The kernel's part in recording, as it could be had.
struct Tracing {
  std::unique_ptr<KernelTracer> tracer;
  std::string problem;  // why there is none, when one was asked for

  std::string text() const {
    if (tracer) return "on: " + tracer->description();
    return problem.empty() ? "off" : "unavailable: " + problem;
  }
};

Result<Tracing> open_tracing(const Config& config, EventLog& events) {
  Tracing tracing;
  if (config.enhanced_recording == EnhancedRecording::kOff) return tracing;
  TracerChoice choice = TracerChoice::kBest;
  if (config.enhanced_recording == EnhancedRecording::kBpf) choice = TracerChoice::kBpf;
  if (config.enhanced_recording == EnhancedRecording::kAudit) choice = TracerChoice::kAudit;
  auto opened = KernelTracer::open(choice, [&events](std::vector<audit::Event> told) {
    if (Status stored = events.emit(std::move(told)); !stored) {
      log::error("audit events of the kernel could not be stored", {{"error", stored.error()}});
    }
  });
  if (opened) {
    tracing.tracer = std::move(*opened);
    log::info("enhanced recording is on", {{"uses", tracing.tracer->description()}});
    return tracing;
  }
  if (config.enhanced_recording != EnhancedRecording::kAuto) {
    return fail(
        ErrorCode::kFailedPrecondition,
        "MEZITE_ENHANCED_RECORDING requires it, and it can't be had: {}; set it to auto for sessions without it",
        opened.error().message);
  }
  tracing.problem = opened.error().message;
  log::warn("enhanced recording can't be had: sessions are recorded without what the kernel knows",
            {{"error", opened.error()}});
  return tracing;
}

// Empty when there is none.
struct Balancer {
  std::string roots;  // PEM
  BalancerTls tls;
};

// Everything that runs once the agent has joined. Its own calls are on the main shard.
class Agent {
 public:
  Agent(Config config, std::filesystem::path config_file, AgentIdentity identity, IdentityFolder folder,
        recording::Spool spool, std::unique_ptr<EventLog> events, Tracing tracing, Balancer balancer)
      : config_(std::move(config)),
        config_file_(std::move(config_file)),
        folder_(std::move(folder)),
        identity_(std::make_shared<const AgentIdentity>(std::move(identity))),
        node_(facts_of(*identity_, config_)),
        spool_(std::move(spool)),
        events_(std::move(events)),
        enhanced_(tracing.text()),
        tracer_problem_(std::move(tracing.problem)),
        tracer_(std::move(tracing.tracer)),
        balancer_(std::move(balancer.tls)),
        api_(config_.auth_addr, *identity_, std::move(balancer.roots)),
        recording_sender_(spool_, api_, *events_, node_, config_.on_recording_failure, clock_),
        event_sender_(
            *events_, [this](const std::vector<std::string>& lines) { return api_.emit_events(lines); },
            [this] { return node_event(audit::EventKind::kAuditEventRefused, *node_.current(), clock_); },
            // The hub's API may be away while the control connection stays: each failed upload leaves an event, so
            // these tell first when it is back.
            [this] { recording_sender_.kick(); }),
        live_(api_, clock_),
        recorder_(std::make_unique<recording::Recorder>(spool_, clock_)),
        workers_(kWorkers),
        server_(server_options(), {identity_->ssh_host_key()}),
        control_(main_, workers_, clock_, config_.proxy_addr, control_callbacks(), balancer_) {}

  Status run();

 private:
  struct WaitingDial {
    DialOrder order;
    SteadyTime limit;
  };

  ServerOptions server_options();
  ControlCallbacks control_callbacks();

  void fetch();
  void fetched(Result<HubApi::Fetched> result);
  void adopt_trust(Trust trust);
  void adopt(std::shared_ptr<const AgentIdentity> identity);
  void need_revision(std::int64_t revision);
  void dial(DialOrder order);
  void connect(DialOrder order);
  void serve_dials();
  void watch_renewal();
  void renew();
  void reload();
  void refresh_labels();
  void put_labels(access::Labels labels);
  void schedule_labels();
  void begin_stop();
  void wait_for_sessions(SteadyTime limit);

  Config config_;
  const std::filesystem::path config_file_;
  const IdentityFolder folder_;
  const Clock& clock_ = system_clock();
  std::shared_ptr<const AgentIdentity> identity_;
  SnapshotStore snapshots_;
  NodeFactsStore node_;
  recording::Spool spool_;
  std::unique_ptr<EventLog> events_;
  const std::string enhanced_;  // what the hub is told of it
  const std::string tracer_problem_;
  std::unique_ptr<KernelTracer> tracer_;
  const BalancerTls balancer_;
  HubApi api_;
  RecordingSender recording_sender_;
  EventSender event_sender_;
  recording::LiveStreams live_;
  std::unique_ptr<recording::Recorder> recorder_;
  net::Shard main_;
  net::ShardPool shards_;
  net::WorkerPool workers_;
  SshServer server_;
  ControlConnection control_;
  std::unique_ptr<WorkloadApi> workload_api_;  // none: not asked for

  std::deque<WaitingDial> waiting_;
  bool fetching_ = false;
  std::int64_t needed_revision_ = 0;
  bool fetch_again_ = false;
  unsigned fetch_failures_ = 0;
  net::TimerId fetch_timer_{};
  net::TimerId renew_timer_{};
  bool renewing_ = false;
  unsigned renew_failures_ = 0;
  CaReport cas_;  // of what is kept on disk
  net::TimerId label_timer_{};
  bool stopping_ = false;
  std::mt19937_64 random_{std::random_device{}()};
};

ServerOptions Agent::server_options() {
  ServerOptions options;
  options.clock = &clock_;
  options.workers = &workers_;
  options.snapshots = &snapshots_;
  options.node = &node_;
  options.events = events_.get();
  options.recorder = recorder_.get();
  options.live = &live_;
  options.recording_finished = [this] { recording_sender_.wake(); };
  options.pam_service = config_.pam_service;
  options.sftp_server = config_.sftp_server;
  options.on_recording_failure = config_.on_recording_failure;
  options.enhanced_recording = config_.enhanced_recording;
  options.tracer = tracer_.get();
  options.tracer_problem = tracer_problem_;
  return options;
}

ControlCallbacks Agent::control_callbacks() {
  ControlCallbacks callbacks;
  callbacks.report = [this] {
    std::shared_ptr<const NodeFacts> node = node_.current();
    CaReport cas = cas_;
    // A rotation of the SPIFFE CA waits until the workloads here have certificates of the key that signs now.
    if (workload_api_ && !workload_api_->is_settled()) cas.spiffe.clear();
    const RecordingSender::Backlog backlog = recording_sender_.backlog();
    return AgentReport{.hostname = node->hostname,
                       .labels = node->labels,
                       .snapshot_revision = snapshots_.current()->revision,
                       .sessions = static_cast<std::int32_t>(server_.sessions()),
                       .spool_bytes = static_cast<std::int64_t>(backlog.spool.bytes + events_->size_bytes()),
                       .recordings = {.files = static_cast<std::int64_t>(backlog.spool.waiting),
                                      .bytes = static_cast<std::int64_t>(backlog.spool.bytes),
                                      .limit_bytes = static_cast<std::int64_t>(backlog.limit_bytes),
                                      .oldest_age_ms = backlog.spool.oldest_age.count(),
                                      .set_aside = static_cast<std::int64_t>(backlog.spool.aside),
                                      .upload_failures = static_cast<std::int64_t>(backlog.failures)},
                       .cas = std::move(cas),
                       .enhanced_recording = enhanced_};
  };
  callbacks.connected = [this] {
    [[maybe_unused]] Status ignored = notify_supervisor("STATUS=connected to the hub");
    event_sender_.kick();
    recording_sender_.kick();
    // Whatever was changed while the connection was down.
    fetch();
  };
  callbacks.dial = [this](DialOrder order) { dial(std::move(order)); };
  callbacks.refresh = [this](std::int64_t revision) { need_revision(revision); };
  callbacks.terminate = [this](std::string_view id, std::string_view reason) {
    log::info("ending sessions on the hub's order", {{"session", id}, {"reason", reason}});
    server_.terminate(id, reason.empty() ? "your session was ended by an administrator" : reason);
  };
  return callbacks;
}

// ---- snapshot

void Agent::need_revision(std::int64_t revision) {
  needed_revision_ = std::max(needed_revision_, revision);
  if (snapshots_.current()->revision < revision) fetch();
}

void Agent::fetch() {
  if (stopping_) return;
  if (fetching_) {
    fetch_again_ = true;
    return;
  }
  main_.cancel(fetch_timer_);
  fetching_ = workers_.submit(
      main_, [this] { return api_.get_snapshot(); },
      [this](Result<HubApi::Fetched> result) { fetched(std::move(result)); });
  if (!fetching_) fetch_timer_ = main_.after(std::chrono::seconds(1), [this] { fetch(); });
}

void Agent::fetched(Result<HubApi::Fetched> result) {
  fetching_ = false;
  if (stopping_) return;
  bool again = std::exchange(fetch_again_, false);
  if (!result) {
    auto delay = reconnect_delay(++fetch_failures_, random_());
    log::warn("fetching roles and keys failed",
              {{"hub", config_.auth_addr.text()}, {"error", result.error()}, {"retry_in_ms", delay.count()}});
    fetch_timer_ = main_.after(delay, [this] { fetch(); });
    serve_dials();
    return;
  }
  fetch_failures_ = 0;
  std::int64_t revision = result->snapshot.revision;
  snapshots_.put(std::move(result->snapshot));
  if (workload_api_) workload_api_->update(std::move(result->workloads));
  adopt_trust(std::move(result->trust));
  server_.recheck();
  serve_dials();
  if (again)
    fetch();
  else if (revision < needed_revision_) {
    // The hub told of it before it could be read; a moment later it can.
    fetch_timer_ = main_.after(std::chrono::milliseconds(100), [this] { fetch(); });
  }
}

void Agent::adopt_trust(Trust trust) {
  // Answers may overtake each other: an older bundle would bring back keys that are retired.
  bool older = trust.revision < identity_->trust.revision;
  if (!older && trust != identity_->trust && !trust.host_cas.empty() && !trust.host_cas_pem.empty()) {
    auto changed = std::make_shared<AgentIdentity>(*identity_);
    changed->trust = std::move(trust);
    log::info("the CA keys of the cluster have changed", {{"host_cas", changed->trust.host_cas.size()}});
    adopt(std::move(changed));
  }
  if (!identity_->is_of_signing_ca()) renew();
}

void Agent::adopt(std::shared_ptr<const AgentIdentity> identity) {
  identity_ = identity;
  server_.set_host_keys({identity->ssh_host_key()});
  control_.set_identity(identity);
  api_.set_identity(*identity);
  if (Status saved = folder_.update(*identity); !saved) {
    // What a restart would not find is not told to the hub as held.
    log::error("keeping new certificates", {{"error", saved.error()}});
    return;
  }
  cas_ = identity->ca_report();
  control_.send_heartbeat();
}

// ---- dials

void Agent::dial(DialOrder order) {
  if (stopping_) return control_.dial_failed(order.token, "the agent is stopping");
  if (order.client.ip.empty()) return control_.dial_failed(order.token, "the order has no client address");
  if (waiting_.size() >= kMaxWaitingDials) return control_.dial_failed(order.token, "too many dials wait");
  need_revision(order.least_revision);
  waiting_.push_back({std::move(order), main_.now() + kRevisionLimit});
  serve_dials();
}

void Agent::serve_dials() {
  std::int64_t revision = snapshots_.current()->revision;
  std::deque<WaitingDial> later;
  for (WaitingDial& dial : waiting_) {
    if (revision != 0 && revision >= dial.order.least_revision) {
      connect(std::move(dial.order));
    } else if (main_.now() >= dial.limit) {
      log::warn("a session could not be taken: the roles and keys that it needs did not come in time",
                {{"user", dial.order.user}, {"revision", revision}, {"needed", dial.order.least_revision}});
      control_.dial_failed(dial.order.token, "the agent could not fetch the roles and keys in force");
    } else {
      later.push_back(std::move(dial));
    }
  }
  waiting_ = std::move(later);
  if (!waiting_.empty()) main_.after(std::chrono::seconds(1), [this] { serve_dials(); });
}

void Agent::connect(DialOrder order) {
  net::Shard& shard = shards_.next();
  shard.post([this, &shard, order = std::move(order)] {
    auto then = [this, &shard, order](Result<net::Connected> connected) {
      Status dialled;
      std::string preface = "MEZITE-DIAL/1 " + order.token + "\n";
      if (connected) {
        Result<UniqueFd> way = balancer_.wrap(shard, std::move(connected->fd), config_.proxy_addr.host);
        if (way) {
          connected->fd = std::move(*way);
        } else {
          connected = std::unexpected(way.error());
        }
      }
      if (!connected) {
        dialled = std::unexpected(connected.error());
      } else if (::send(connected->fd.get(), preface.data(), preface.size(), MSG_NOSIGNAL) !=
                 static_cast<ssize_t>(preface.size())) {
        // A new connection takes a line; one that does not is broken.
        dialled = fail_errno(errno, "sending the dial-back line");
      }
      if (dialled) return server_.serve(shard, {std::move(connected->fd), {}, order.client});
      main_.post([this, token = order.token, error = dialled.error()] {
        log::warn("dialling back failed", {{"hub", config_.proxy_addr.text()}, {"error", error}});
        control_.dial_failed(token, error.message);
      });
    };
    net::async_connect(shard, workers_, config_.proxy_addr, kDialLimit, std::move(then));
  });
}

// ---- certificates and labels

void Agent::watch_renewal() {
  Result<SystemTime> due = identity_->renew_at();
  if (!due) return log::error("reading the own certificate", {{"error", due.error()}});
  if (clock_.now() >= *due) return renew();
  // A step at a time: the wall clock may be set.
  auto step = std::min<std::chrono::nanoseconds>(*due - clock_.now(), std::chrono::minutes(1));
  renew_timer_ = main_.after(step, [this] { watch_renewal(); });
}

void Agent::renew() {
  if (renewing_ || stopping_) return;
  main_.cancel(renew_timer_);
  auto again = [this] {
    renewing_ = false;
    bool of_old_ca = !identity_->is_of_signing_ca();
    auto wait = of_old_ca ? reconnect_delay(++renew_failures_, random_()) : std::chrono::milliseconds(kRenewRetry);
    renew_timer_ = main_.after(wait, [this, of_old_ca] { of_old_ca ? renew() : watch_renewal(); });
  };
  bool submitted = workers_.submit(
      main_, [this, identity = identity_] { return api_.renew(*identity); },
      [this, again](Result<AgentIdentity> renewed) {
        if (stopping_) return;
        if (!renewed) {
          log::warn("renewing certificates failed", {{"hub", config_.auth_addr.text()}, {"error", renewed.error()}});
          return again();
        }
        if (renewed->trust.revision < identity_->trust.revision) {
          log::info("certificates of an earlier phase of a rotation were passed over");
          return again();
        }
        log::info("renewed certificates");
        renew_failures_ = 0;
        adopt(std::make_shared<const AgentIdentity>(std::move(*renewed)));
        again();
      });
  renewing_ = true;
  if (!submitted) again();
}

void Agent::put_labels(access::Labels labels) {
  NodeFacts facts = *node_.current();
  if (facts.labels == labels) return;
  facts.labels = std::move(labels);
  node_.put(std::move(facts));
  server_.recheck();
  control_.send_heartbeat();
  // Which workload identities are for this node hangs on its labels, once the hub has stored them.
  if (workload_api_) main_.after(kLabelsStored, [this] { fetch(); });
}

void Agent::refresh_labels() {
  bool submitted = workers_.submit(
      main_,
      [config = config_.labels, commands = config_.command_labels] {
        Config only_labels;
        only_labels.labels = config;
        only_labels.command_labels = commands;
        return evaluate_labels(only_labels);
      },
      [this](access::Labels labels) {
        if (!stopping_) put_labels(std::move(labels));
      });
  if (!submitted) log::warn("too busy to evaluate labels");
  schedule_labels();
}

void Agent::schedule_labels() {
  main_.cancel(label_timer_);
  if (config_.command_labels.empty() || stopping_) return;
  auto period = config_.command_labels[0].period;
  for (const CommandLabel& label : config_.command_labels) period = std::min(period, label.period);
  label_timer_ = main_.after(period, [this] { refresh_labels(); });
}

void Agent::reload() {
  [[maybe_unused]] Status ignored = notify_supervisor("RELOADING=1");
  Result<Config> fresh = load_config(config_file_, process_environment());
  if (!fresh) {
    log::error("the configuration was not read again", {{"error", fresh.error()}});
  } else {
    config_.labels = fresh->labels;
    config_.command_labels = fresh->command_labels;
    refresh_labels();
    log::info("labels were read again; other keys count after a restart");
  }
  ignored = notify_supervisor("READY=1");
}

// ---- life

Status Agent::run() {
  control_.set_identity(identity_);
  cas_ = identity_->ca_report();
  MEZ_CHECK(main_.on_signals({SIGTERM, SIGINT, SIGHUP}, [this](int signal) {
    if (signal == SIGHUP)
      reload();
    else
      begin_stop();
  }));
  for (const std::string& id : spool_.recovered().cut) {
    log::warn("a session's recording was cut off when the agent ended; what there is will be uploaded",
              {{"session", id}});
  }
  if (!config_.workload_api_socket.empty()) {
    WorkloadApiOptions options{.socket = config_.workload_api_socket, .clock = &clock_, .issuer = &api_};
    options.events = events_.get();
    options.node = &node_;
    options.settled = [this] { control_.send_heartbeat(); };
    MEZ_TRY(workload_api_, WorkloadApi::start(main_, shards_, std::move(options)));
  }
  shards_.start();
  main_.post([this] {
    fetch();
    control_.start();
    watch_renewal();
    schedule_labels();
    [[maybe_unused]] Status ignored = notify_supervisor("READY=1");
  });
  log::info("the node agent runs", {{"version", version()},
                                    {"node", identity_->node_name},
                                    {"node_id", identity_->node_id},
                                    {"cluster", identity_->cluster_name},
                                    {"auth_addr", config_.auth_addr.text()},
                                    {"proxy_addr", config_.proxy_addr.text()}});
  main_.run();
  // Sessions have ended; what they left is written and, if that goes quickly, sent.
  shards_.stop();
  workers_.stop();
  recorder_.reset();
  tracer_.reset();
  event_sender_.stop();
  api_.shut_down();
  if (workload_api_) workload_api_->stop();
  live_.stop();
  recording_sender_.stop();
  log::info("the node agent has stopped");
  return {};
}

void Agent::begin_stop() {
  if (stopping_) return;
  stopping_ = true;
  log::info("stopping");
  [[maybe_unused]] Status ignored = notify_supervisor("STOPPING=1");
  control_.stop();
  for (net::TimerId* timer : {&fetch_timer_, &renew_timer_, &label_timer_}) main_.cancel(*timer);
  server_.terminate("", "the node agent is stopping");
  wait_for_sessions(main_.now() + kStopLimit);
}

void Agent::wait_for_sessions(SteadyTime limit) {
  bool done = server_.sessions() == 0 && server_.connections() == 0;
  if (done || main_.now() >= limit) {
    // A turn more, for what the last connections still write.
    main_.after(std::chrono::milliseconds(20), [this] { main_.stop(); });
    return;
  }
  main_.after(std::chrono::milliseconds(20), [this, limit] { wait_for_sessions(limit); });
}

}  // namespace

Status block_agent_signals() { return net::Shard::block_signals({SIGTERM, SIGINT, SIGHUP}); }

Status run_agent(Config config, const std::filesystem::path& config_file) {
  Balancer balancer;
  if (config.tls_wrap == TlsWrap::kOn) {
    MEZ_TRY(balancer.roots, balancer_roots(config.tls_ca_file));
    MEZ_TRY(balancer.tls, BalancerTls::of(balancer.roots));
  }
  ::signal(SIGPIPE, SIG_IGN);
  if (Status made = make_directories(config.data_dir, 0700); !made) {
    return fail(ErrorCode::kIo,
                "the data folder can't be made: {}; set MEZITE_DATA_DIR to a folder that this user may write",
                made.error().message);
  }
  Result<recording::Spool> spool = recording::Spool::open(config.spool_dir(), config.spool_max_bytes);
  if (!spool) {
    return fail(spool.error().code,
                "{}; MEZITE_DATA_DIR must be a folder that this user may write, and one agent's only",
                spool.error().message);
  }
  MEZ_TRY(std::unique_ptr<EventLog> events, EventLog::open(config.spool_dir() / "events"));
  MEZ_TRY(Tracing tracing, open_tracing(config, *events));
  IdentityFolder folder(config.state_dir());
  MEZ_TRY(std::optional<AgentIdentity> identity, folder.load());
  if (!identity) {
    MEZ_TRY(identity, join(config, folder, pause_for));
    if (!identity) return {};
  } else if (identity->node_name != config.node_name) {
    log::warn("the node's name was fixed when it joined; delete MEZITE_DATA_DIR and join again to change it",
              {{"name", identity->node_name}, {"configured", config.node_name}});
  }
  config.join_token = Secret();
  Agent agent(std::move(config), config_file, std::move(*identity), std::move(folder), std::move(*spool),
              std::move(events), std::move(tracing), std::move(balancer));
  return agent.run();
}

}  // namespace mezite::agent
