#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <charconv>
#include <cstring>
#include <filesystem>
#include <map>
#include <mutex>
#include <set>
#include <thread>

#include "agent/kernel/audit_link.hh"
#include "agent/kernel/audit_records.hh"
#include "agent/kernel/backends.hh"
#include "agent/kernel/session_events.hh"
#include "base/file.hh"
#include "base/log.hh"
#include "base/text.hh"

namespace mezite::agent {
namespace {

constexpr int kPollMs = 200;
constexpr std::chrono::seconds kLookEvery{5};  // for sessions whose last process has ended
constexpr std::size_t kRecordsPerTurn = 4096;
constexpr std::size_t kMaxSockets = 65536;
constexpr std::size_t kMaxSessions = 8192;
constexpr std::size_t kMaxBetween = 256;
constexpr std::uint32_t kBacklogLimit = 8192;  // records; the kernel's own 64 makes sessions wait
constexpr std::uint32_t kUnset = 0xffffffff;   // (uid_t)-1 and AUDIT_SID_UNSET
// <linux/audit.h> of older kernels has it not.
constexpr std::uint32_t kSocketFamily = 113;  // AUDIT_SADDR_FAM

// The audit session that the calling thread is in, and its login user: what every process inherits that it forks.
Result<std::uint32_t> own_session() {
  MEZ_TRY(const Bytes text, read_file("/proc/thread-self/sessionid"));
  std::uint32_t number = 0;
  const std::string_view digits = trim(as_text(text));
  if (std::from_chars(digits.data(), digits.data() + digits.size(), number).ec != std::errc{}) {
    return fail(ErrorCode::kUnavailable, "/proc/thread-self/sessionid is not a number");
  }
  return number;
}

Status set_login_user(uid_t user) {
  const UniqueFd file(::open("/proc/thread-self/loginuid", O_WRONLY | O_TRUNC | O_CLOEXEC));
  const std::string text = std::to_string(user);
  if (!file || ::write(file.get(), text.data(), text.size()) < 0) {
    return fail_errno(errno, "setting the audit login user of a thread (/proc/thread-self/loginuid)");
  }
  return {};
}

// A new audit session of the calling thread.
Result<std::uint32_t> begin_session(uid_t user) {
  MEZ_CHECK(set_login_user(kUnset));  // where it may only be set when it is not
  MEZ_CHECK(set_login_user(user));
  return own_session();
}

// Tries it on a thread that ends: where a login user can't be changed again (--loginuid-immutable), the thread is
// spoilt.
Result<std::uint32_t> try_session() {
  Result<std::uint32_t> first = fail(ErrorCode::kUnavailable, "no thread");
  std::thread([&first] {
    first = begin_session(0);
    if (!first) return;
    if (Status undone = set_login_user(kUnset); !undone) {
      first = fail(ErrorCode::kUnavailable, "{}: login users of this machine are immutable", undone.error().message);
    }
  }).join();
  return first;
}

std::vector<AuditRule> rules_for(std::uint32_t first_session) {
  const AuditRule::Field from{AUDIT_SESSIONID, AUDIT_GREATER_THAN_OR_EQUAL, first_session};
  const AuditRule::Field set{AUDIT_SESSIONID, AUDIT_NOT_EQUAL, kUnset};
  const AuditRule::Field success{AUDIT_SUCCESS, AUDIT_EQUAL, 1};
  std::vector<AuditRule> rules;
  for (const SystemCalls& calls : system_calls()) {
    const auto add = [&](std::vector<std::uint32_t> numbers, std::vector<AuditRule::Field> fields) {
      fields.push_back(from);
      fields.push_back(set);
      rules.push_back(
          {.architecture = calls.architecture, .system_calls = std::move(numbers), .fields = std::move(fields)});
    };
    add({calls.execve, calls.execveat}, {success});
    add({calls.exit_group}, {});
    for (const std::uint32_t family : {std::uint32_t{AF_INET}, std::uint32_t{AF_INET6}}) {
      add({calls.socket}, {{AUDIT_ARG0, AUDIT_EQUAL, family}, success});
      add({calls.connect, calls.sendto, calls.sendmsg, calls.sendmmsg}, {{kSocketFamily, AUDIT_EQUAL, family}});
    }
  }
  return rules;
}

// The audit sessions of all processes of the machine.
std::set<std::uint32_t> live_sessions() {
  std::set<std::uint32_t> live;
  std::error_code failed;
  for (const auto& entry : std::filesystem::directory_iterator("/proc", failed)) {
    const std::string name = entry.path().filename();
    if (name.find_first_not_of("0123456789") != std::string::npos) continue;
    const auto text = read_file(entry.path() / "sessionid", 64);
    if (!text) continue;
    std::uint32_t number = 0;
    const std::string_view digits = trim(as_text(*text));
    if (std::from_chars(digits.data(), digits.data() + digits.size(), number).ec == std::errc{}) live.insert(number);
  }
  return live;
}

// Sessions are told apart by the audit session that the thread is in when it forks the first process. Who logs in anew
// inside one (pam_loginuid) gets another, of which the kernel tells.
class AuditTracer final : public KernelTracer {
 public:
  AuditTracer(Emit emit, AuditLink link, AuditStream stream)
      : emit_(std::move(emit)),
        link_(std::move(link)),
        stream_(std::move(stream)),
        key_(std::string(kAuditKeyPrefix) + std::to_string(::getpid())) {}
  ~AuditTracer() override;

  Status begin();
  const std::string& description() const override { return description_; }
  Result<std::unique_ptr<Starting>> start(TracedSession session) override;

 private:
  class Mark;
  struct Followed {
    SessionEvents events;
    SteadyTime since;
    bool starting = true;
  };
  using Session = std::shared_ptr<Followed>;

  void run();
  void take(AuditEvent event);
  void enter(const AuditEvent& event);
  void look_for_ended(SteadyTime now);
  void collect(SteadyTime now, SessionEvents::All all);
  void restore();

  const Emit emit_;
  AuditLink link_;
  AuditStream stream_;
  AuditRecords records_;
  const std::string key_;
  std::string description_;
  bool enabled_here_ = false;
  std::optional<std::uint32_t> backlog_before_;
  std::uint32_t told_lost_ = 0;                                               // of the kernel's count
  std::map<std::pair<std::uint32_t, std::uint32_t>, std::uint32_t> sockets_;  // (process, descriptor) -> protocol
  SteadyTime looked_{};
  bool drained_ = false;  // no record was left at the last look
  std::vector<audit::Event> out_;

  std::mutex mutex_;  // of the following two and what they point to
  std::map<std::uint32_t, Session> sessions_;
  std::map<std::uint32_t, Session> between_;  // by process: out of its session, not yet in another
  std::atomic<bool> stopping_{false};
  std::thread thread_;
};

Status AuditTracer::begin() {
  MEZ_TRY(const audit_status before, link_.status());
  if (before.enabled == 2)
    return fail(ErrorCode::kUnavailable, "the audit rules of this node are locked (auditctl -e 2)");
  MEZ_CHECK(link_.remove_left_overs());
  MEZ_CHECK(link_.has_rules());
  told_lost_ = before.lost;
  if (before.enabled == 0) {
    MEZ_CHECK(link_.set_enabled(true));
    enabled_here_ = true;
  }
  Status begun = [this, &before]() -> Status {
    if (before.backlog_limit != 0 && before.backlog_limit < kBacklogLimit) {
      MEZ_CHECK(link_.set_backlog_limit(kBacklogLimit));
      backlog_before_ = before.backlog_limit;
    }
    MEZ_TRY(const std::uint32_t first, try_session());
    for (const AuditRule& rule : rules_for(first)) MEZ_CHECK(link_.add(rule, key_));
    return {};
  }();
  if (!begun) {
    restore();
    return begun;
  }
  description_ =
      "audit subsystem: programs (execve), connections (connect and sends with an address); sessions by audit session";
  thread_ = std::thread([this] { run(); });
  return {};
}

AuditTracer::~AuditTracer() {
  if (!thread_.joinable()) return;
  stopping_ = true;
  thread_.join();
  restore();
}

void AuditTracer::restore() {
  if (Status removed = link_.remove_all(key_); !removed) {
    log::warn("audit rules stay behind; auditctl -D -k removes them", {{"key", key_}, {"error", removed.error()}});
    return;
  }
  // Others may have come to rely on it.
  const auto others = link_.has_rules();
  if (!others || *others) return;
  if (backlog_before_) [[maybe_unused]]
    Status ignored = link_.set_backlog_limit(*backlog_before_);
  if (enabled_here_) [[maybe_unused]]
    Status ignored = link_.set_enabled(false);
}

void AuditTracer::take(AuditEvent event) {
  using Kind = AuditEvent::Kind;
  std::lock_guard lock(mutex_);
  if (event.kind == Kind::kNewSession) {
    enter(event);
    return;
  }
  const auto found = sessions_.find(event.session);
  if (found == sessions_.end()) return;
  const SteadyTime now = std::chrono::steady_clock::now();
  SessionEvents& session = found->second->events;
  switch (event.kind) {
    case Kind::kProgram:
      session.ran({.pid = event.pid,
                   .ppid = event.ppid,
                   .uid = event.uid,
                   .path = std::move(event.path),
                   .arguments = std::move(event.arguments),
                   .arguments_cut = event.arguments_cut},
                  now);
      return;
    case Kind::kExit:
      session.exited(event.pid, event.exit_code << 8);
      sockets_.erase(sockets_.lower_bound({event.pid, 0}), sockets_.upper_bound({event.pid, kUnset}));
      return;
    case Kind::kSocket:
      if (sockets_.size() >= kMaxSockets) sockets_.clear();
      sockets_[{event.pid, event.descriptor}] = event.protocol;
      return;
    case Kind::kConnection: {
      const auto socket = sockets_.find({event.pid, event.descriptor});
      session.connected({.pid = event.pid,
                         .uid = event.uid,
                         .address = std::move(event.address),
                         .port = event.port,
                         .protocol = socket == sockets_.end() ? 0 : socket->second,
                         .program = std::move(event.program)},
                        now);
      return;
    }
    case Kind::kNewSession: return;
  }
}

// A process of a session has logged in anew, in one step or in two: out of all sessions, then into its own.
void AuditTracer::enter(const AuditEvent& event) {
  // Our own threads leave a session when its first process has been forked.
  if (event.pid == static_cast<std::uint32_t>(::getpid())) return;
  Session session;
  if (event.session == kUnset) {
    if (auto left = between_.extract(event.pid)) session = std::move(left.mapped());
  } else if (const auto found = sessions_.find(event.session); found != sessions_.end()) {
    session = found->second;
  }
  if (!session) return;
  if (event.new_session != kUnset) {
    sessions_.insert_or_assign(event.new_session, std::move(session));
  } else {
    if (between_.size() >= kMaxBetween) between_.clear();
    between_.insert_or_assign(event.pid, std::move(session));
  }
}

// Only when all records have been read: those of a session that has ended may still wait.
void AuditTracer::look_for_ended(SteadyTime now) {
  if (!drained_ || now - looked_ < kLookEvery) return;
  looked_ = now;
  if (const auto status = link_.status(); status && status->lost != told_lost_) {
    std::lock_guard lock(mutex_);
    for (auto& [number, session] : sessions_) session->events.lost(status->lost - told_lost_, 0);
    told_lost_ = status->lost;
  }
  {
    std::lock_guard lock(mutex_);
    if (sessions_.empty()) return;
  }
  const std::set<std::uint32_t> live = live_sessions();  // may take a while: others start sessions meanwhile
  std::lock_guard lock(mutex_);
  for (auto next = sessions_.begin(); next != sessions_.end();) {
    const auto session = next++;
    if (session->second->starting || now - session->second->since < kLookEvery || live.contains(session->first))
      continue;
    session->second->events.collect(now, SessionEvents::All::kYes, out_);
    sessions_.erase(session);
  }
}

void AuditTracer::collect(SteadyTime now, SessionEvents::All all) {
  {
    std::lock_guard lock(mutex_);
    for (auto& [number, session] : sessions_) session->events.collect(now, all, out_);
  }
  if (!out_.empty()) emit_(std::exchange(out_, {}));
}

void AuditTracer::run() {
  std::uint16_t type = 0;
  std::string_view text;
  const auto read = [&](int timeout_ms) {
    drained_ = false;
    for (std::size_t i = 0; i < kRecordsPerTurn; ++i) {
      const AuditStream::Got got = stream_.next(i == 0 ? timeout_ms : 0, type, text);
      if (got == AuditStream::Got::kNothing) {
        drained_ = true;
        return;
      }
      if (got == AuditStream::Got::kLost) {
        std::lock_guard lock(mutex_);
        for (auto& [number, session] : sessions_) session->events.lost(1, 0);
      } else if (auto event = records_.take(type, text)) {
        take(std::move(*event));
      }
    }
  };
  while (!stopping_) {
    read(kPollMs);
    const SteadyTime now = std::chrono::steady_clock::now();
    look_for_ended(now);
    collect(now, SessionEvents::All::kNo);
  }
  read(0);
  collect(std::chrono::steady_clock::now(), SessionEvents::All::kYes);
}

// Takes the thread out of the session.
class AuditTracer::Mark final : public KernelTracer::Starting {
 public:
  explicit Mark(Session session, std::mutex& mutex) : session_(std::move(session)), mutex_(mutex) {}
  ~Mark() override {
    if (Status left = set_login_user(kUnset); !left) {
      log::error("a thread stays in a session's audit session", {{"error", left.error()}});
    }
    std::lock_guard lock(mutex_);
    session_->starting = false;
    session_->since = std::chrono::steady_clock::now();
  }
  Mark(const Mark&) = delete;
  Mark& operator=(const Mark&) = delete;

 private:
  Session session_;
  std::mutex& mutex_;
};

Result<std::unique_ptr<KernelTracer::Starting>> AuditTracer::start(TracedSession session) {
  {
    std::lock_guard lock(mutex_);
    if (sessions_.size() >= kMaxSessions) {
      return fail(ErrorCode::kResourceExhausted, "too many sessions are followed in the kernel");
    }
  }
  MEZ_TRY(const std::uint32_t number, begin_session(session.uid));
  auto followed = std::make_shared<Followed>(SessionEvents(std::move(session)), std::chrono::steady_clock::now());
  std::lock_guard lock(mutex_);
  sessions_.insert_or_assign(number, followed);
  return std::make_unique<Mark>(std::move(followed), mutex_);
}

}  // namespace

Result<std::unique_ptr<KernelTracer>> open_audit_tracer(KernelTracer::Emit emit) {
  // Listening comes first: nothing that the rules tell of is missed.
  MEZ_TRY(AuditStream stream, AuditStream::open());
  MEZ_TRY(AuditLink link, AuditLink::open());
  auto tracer = std::make_unique<AuditTracer>(std::move(emit), std::move(link), std::move(stream));
  MEZ_CHECK(tracer->begin());
  return tracer;
}

}  // namespace mezite::agent
