#include "agent/kernel/backends.hh"

#ifdef MEZITE_HAS_BPF
#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fcntl.h>
#include <linux/types.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <map>
#include <mutex>
#include <optional>
#include <thread>

#include "agent/kernel/session_cgroups.hh"
#include "agent/kernel/session_events.hh"
#include "agent/kernel/trace_events.h"
#include "base/file.hh"
#include "base/log.hh"
#include "base/text.hh"
#include "base/unique_fd.hh"

// The object that session_trace.bpf.c was compiled to, as it is.
asm(".section .rodata.mezite_session_trace, \"a\", @progbits\n"
    ".balign 16\n"
    ".globl mezite_session_trace_begin\n"
    "mezite_session_trace_begin:\n"
    ".incbin \"" MEZITE_BPF_OBJECT
    "\"\n"
    ".globl mezite_session_trace_end\n"
    "mezite_session_trace_end:\n"
    ".byte 0\n"
    ".previous\n");
extern "C" {
extern const unsigned char mezite_session_trace_begin[];
extern const unsigned char mezite_session_trace_end[];
}

namespace mezite::agent {
namespace {

constexpr int kPollMs = 200;

std::uint32_t this_thread() { return static_cast<std::uint32_t>(::syscall(SYS_gettid)); }

// libbpf's last complaint: the reason, where the error number says little.
std::string& last_complaint() {
  thread_local std::string text;
  return text;
}
int keep_complaint(libbpf_print_level level, const char* format, va_list arguments) {
  if (level != LIBBPF_WARN) return 0;
  char line[512];
  const int size = std::vsnprintf(line, sizeof line, format, arguments);
  if (size > 0 && last_complaint().empty()) {
    last_complaint() =
        std::string(trim({line, std::min<std::size_t>(static_cast<std::size_t>(size), sizeof line - 1)}));
  }
  return 0;
}

std::unexpected<Error> unavailable(std::string_view doing, int error) {
  std::string reason = std::strerror(error < 0 ? -error : error);
  if (!last_complaint().empty()) reason += ", " + printable(last_complaint().substr(0, 200));
  return fail(ErrorCode::kUnavailable, "{}: {}", doing, reason);
}

std::string address_of(const mezite_trace_connect& event) {
  char text[INET6_ADDRSTRLEN] = {};
  ::inet_ntop(event.family, event.address, text, sizeof text);
  return text;
}

// One session as its tracer holds it.
struct Followed {
  std::shared_ptr<SessionEvents> events;
  std::filesystem::path cgroup;  // empty: it has none of its own
  std::uint64_t cgroup_id = 0;
  std::uint64_t told_lost_commands = 0, told_lost_connections = 0;  // of the tracer's thread
};

class BpfTracer final : public KernelTracer {
 public:
  explicit BpfTracer(Emit emit_events) : emit(std::move(emit_events)) {}
  ~BpfTracer() override {
    stopping = true;
    if (thread.joinable()) thread.join();
  }
  const std::string& description() const override { return description_; }
  Result<std::unique_ptr<Starting>> start(TracedSession session) override;

  // Loads and attaches the programs, then follows.
  Status begin() {
    MEZ_CHECK(load());
    thread = std::thread([this] { run(); });
    return {};
  }

 private:
  class Mark;
  struct ObjectCloser {
    void operator()(bpf_object* object) const { ::bpf_object__close(object); }
  };
  struct LinkCloser {
    void operator()(bpf_link* link) const { ::bpf_link__destroy(link); }
  };
  struct RingCloser {
    void operator()(ring_buffer* ring) const { ::ring_buffer__free(ring); }
  };

  Emit emit;
  std::string description_;
  std::unique_ptr<bpf_object, ObjectCloser> object;
  std::vector<std::unique_ptr<bpf_link, LinkCloser>> links;
  std::unique_ptr<ring_buffer, RingCloser> ring;
  int sessions_map = -1, starters_map = -1, cgroups_map = -1;
  std::optional<SessionCgroups> cgroups;
  std::atomic<std::uint64_t> next_session{1};
  std::mutex mutex;  // of sessions
  std::map<std::uint64_t, Followed> sessions;
  std::vector<std::filesystem::path> old_cgroups;  // of ended sessions, with processes that nobody forked here
  std::vector<audit::Event> out;                   // of the thread
  std::vector<std::uint64_t> emptied;
  std::atomic<bool> stopping{false};
  std::thread thread;

  Status load() {
    LIBBPF_OPTS(bpf_object_open_opts, options, .object_name = "mezite");
    const auto size = static_cast<std::size_t>(mezite_session_trace_end - mezite_session_trace_begin);
    object.reset(::bpf_object__open_mem(mezite_session_trace_begin, size, &options));
    if (!object) return unavailable("opening the kernel programs", errno);
    if (const int error = ::bpf_object__load(object.get()); error != 0) {
      return unavailable("the kernel does not take the programs (they need root and a kernel with BTF, 5.8 or newer)",
                         error);
    }
    sessions_map = ::bpf_object__find_map_fd_by_name(object.get(), "sessions");
    cgroups_map = ::bpf_object__find_map_fd_by_name(object.get(), "cgroups");
    starters_map = ::bpf_object__find_map_fd_by_name(object.get(), "starters");
    const int events = ::bpf_object__find_map_fd_by_name(object.get(), "events");
    ring.reset(::ring_buffer__new(events, &BpfTracer::on_record, this, nullptr));
    if (!ring) return unavailable("opening the ring buffer", errno);
    for (const char* name : {"on_fork", "on_exec", "on_exit"}) MEZ_CHECK(attach(name, -1));
    description_ = "eBPF: programs (sched_process_exec)";
    const std::string root = cgroup_root();
    const UniqueFd cgroup(root.empty() ? -1 : ::open(root.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    Status hooked = cgroup ? Status{} : Status(fail(ErrorCode::kUnavailable, "there is no cgroup v2"));
    for (const char* name : {"on_connect4", "on_connect6", "on_sendmsg4", "on_sendmsg6"}) {
      if (hooked) hooked = attach(name, cgroup.get());
    }
    if (hooked) {
      description_ += ", connections (cgroup connect and sendmsg hooks)";
    } else {
      description_ += "; no connections: " + hooked.error().message;
    }
    follow_cgroups();
    return {};
  }

  // Where sessions can't have a cgroup each, descent alone tells whose a process is.
  void follow_cgroups() {
    auto groups = SessionCgroups::open();
    if (!groups) {
      description_ += "; sessions by descent alone: " + groups.error().message;
      return;
    }
    const int level_map = ::bpf_object__find_map_fd_by_name(object.get(), "cgroup_level");
    const std::uint32_t zero = 0, level = groups->level();
    if (::bpf_map_update_elem(level_map, &zero, &level, BPF_ANY) != 0) return;
    cgroups = std::move(*groups);
    description_ += "; sessions by cgroup and descent";
  }

  Status attach(const char* name, int cgroup) {
    bpf_program* program = ::bpf_object__find_program_by_name(object.get(), name);
    if (program == nullptr) return fail(ErrorCode::kInternal, "there is no kernel program {}", name);
    last_complaint().clear();
    bpf_link* link = cgroup < 0 ? ::bpf_program__attach(program) : ::bpf_program__attach_cgroup(program, cgroup);
    if (link == nullptr) return unavailable(fmt::format("attaching {}", name), errno);
    links.emplace_back(link);
    return {};
  }

  static int on_record(void* context, void* data, std::size_t size) {
    static_cast<BpfTracer*>(context)->take(data, size);
    return 0;
  }

  template <class Record>
  static const Record* record_of(void* data, std::size_t size) {
    return size >= sizeof(Record) ? static_cast<const Record*>(data) : nullptr;
  }

  void take(void* data, std::size_t size) {
    const auto* head = record_of<mezite_trace_head>(data, size);
    if (head == nullptr) return;
    std::shared_ptr<SessionEvents> session;
    {
      std::lock_guard lock(mutex);
      const auto found = sessions.find(head->session);
      if (found == sessions.end()) return;
      session = found->second.events;
    }
    const SteadyTime now = std::chrono::steady_clock::now();
    switch (head->kind) {
      case MEZITE_TRACE_EXEC:
        if (const auto* exec = record_of<mezite_trace_exec>(data, size)) {
          const std::size_t held = std::min<std::size_t>(exec->args_bytes, sizeof exec->args);
          const std::size_t path = std::min<std::size_t>(exec->path_bytes, sizeof exec->path);
          session->ran({.pid = head->pid,
                        .ppid = exec->ppid,
                        .uid = exec->uid,
                        .path = std::string(exec->path, path > 0 ? path - 1 : 0),
                        .arguments = std::string(exec->args, held),
                        .arguments_cut = exec->args_bytes > sizeof exec->args},
                       now);
        }
        return;
      case MEZITE_TRACE_EXIT:
        if (const auto* exit = record_of<mezite_trace_exit>(data, size)) session->exited(head->pid, exit->status);
        return;
      case MEZITE_TRACE_CONNECT:
        if (const auto* connect = record_of<mezite_trace_connect>(data, size)) {
          session->connected({.pid = head->pid,
                              .uid = connect->uid,
                              .address = address_of(*connect),
                              .port = connect->port,
                              .protocol = connect->protocol,
                              .program = std::string(connect->name, ::strnlen(connect->name, sizeof connect->name))},
                             now);
        }
        return;
      case MEZITE_TRACE_EMPTY: emptied.push_back(head->session); return;
      default: return;
    }
  }

  // What the kernel counted as lost since the last time.
  void ask_for_losses(std::uint64_t number, Followed& session) {
    mezite_trace_session held{};
    if (::bpf_map_lookup_elem(sessions_map, &number, &held) != 0) return;
    session.events->lost(held.lost_commands - std::exchange(session.told_lost_commands, held.lost_commands),
                         held.lost_connections - std::exchange(session.told_lost_connections, held.lost_connections));
  }

  // With the mutex held.
  void forget(std::map<std::uint64_t, Followed>::iterator session) {
    ::bpf_map_delete_elem(sessions_map, &session->first);
    if (!session->second.cgroup.empty()) {
      ::bpf_map_delete_elem(cgroups_map, &session->second.cgroup_id);
      old_cgroups.push_back(std::move(session->second.cgroup));
    }
    sessions.erase(session);
  }

  void collect(SessionEvents::All all) {
    const SteadyTime now = std::chrono::steady_clock::now();
    {
      std::lock_guard lock(mutex);
      for (auto next = sessions.begin(); next != sessions.end();) {
        const auto session = next++;
        const bool empty = std::ranges::find(emptied, session->first) != emptied.end();
        ask_for_losses(session->first, session->second);
        session->second.events->collect(now, empty ? SessionEvents::All::kYes : all, out);
        if (empty) forget(session);
      }
      std::erase_if(old_cgroups, [](const auto& path) { return SessionCgroups::remove(path).has_value(); });
    }
    emptied.clear();
    if (!out.empty()) emit(std::exchange(out, {}));
  }

  void run() {
    while (!stopping) {
      ::ring_buffer__poll(ring.get(), kPollMs);
      collect(SessionEvents::All::kNo);
    }
    ::ring_buffer__consume(ring.get());
    collect(SessionEvents::All::kYes);
  }
};

// Takes the mark of the thread away.
class BpfTracer::Mark final : public KernelTracer::Starting {
 public:
  Mark(BpfTracer& tracer, std::uint32_t thread, std::uint64_t number, UniqueFd cgroup)
      : tracer_(tracer), thread_(thread), number_(number) {
    cgroup_ = std::move(cgroup);
  }
  ~Mark() override {
    ::bpf_map_delete_elem(tracer_.starters_map, &thread_);
    mezite_trace_session held{};
    if (::bpf_map_lookup_elem(tracer_.sessions_map, &number_, &held) != 0 || held.forked > 0) return;
    // Nothing was started: nobody will tell that the last process has ended.
    std::lock_guard lock(tracer_.mutex);
    if (const auto session = tracer_.sessions.find(number_); session != tracer_.sessions.end()) {
      tracer_.forget(session);
    }
  }
  Mark(const Mark&) = delete;
  Mark& operator=(const Mark&) = delete;

 private:
  BpfTracer& tracer_;
  std::uint32_t thread_;
  std::uint64_t number_;
};

Result<std::unique_ptr<KernelTracer::Starting>> BpfTracer::start(TracedSession session) {
  const std::uint64_t number = next_session++;
  const mezite_trace_session nothing{};
  if (::bpf_map_update_elem(sessions_map, &number, &nothing, BPF_NOEXIST) != 0) {
    return fail(ErrorCode::kResourceExhausted, "too many sessions are followed in the kernel");
  }
  Followed followed;
  UniqueFd folder;
  if (cgroups) {
    auto group = cgroups->make(session.session_id);
    if (group && ::bpf_map_update_elem(cgroups_map, &group->id, &number, BPF_ANY) == 0) {
      followed.cgroup = std::move(group->path);
      followed.cgroup_id = group->id;
      folder = std::move(group->folder);
    } else {
      log::warn("a session has no cgroup of its own and is followed by descent alone",
                {{"session", session.session_id},
                 {"error", group ? std::string("too many cgroups are followed") : group.error().message}});
    }
  }
  followed.events = std::make_shared<SessionEvents>(std::move(session));
  const std::uint32_t thread_number = this_thread();
  std::lock_guard lock(mutex);
  const auto entry = sessions.emplace(number, std::move(followed)).first;
  if (::bpf_map_update_elem(starters_map, &thread_number, &number, BPF_ANY) != 0) {
    forget(entry);
    return fail(ErrorCode::kResourceExhausted, "too many sessions start at once to be followed in the kernel");
  }
  return std::make_unique<Mark>(*this, thread_number, number, std::move(folder));
}

}  // namespace

Result<std::unique_ptr<KernelTracer>> open_bpf_tracer(KernelTracer::Emit emit) {
  ::libbpf_set_print(keep_complaint);
  last_complaint().clear();
  auto tracer = std::make_unique<BpfTracer>(std::move(emit));
  MEZ_CHECK(tracer->begin());
  return tracer;
}

}  // namespace mezite::agent

#else

namespace mezite::agent {

Result<std::unique_ptr<KernelTracer>> open_bpf_tracer(KernelTracer::Emit) {
  return fail(ErrorCode::kUnavailable, "mezd was built without it: clang-19 and libbpf-dev were not there");
}

}  // namespace mezite::agent

#endif
