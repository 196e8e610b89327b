#include "agent/kernel/tracer.hh"

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
#include <thread>

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

// Where cgroup v2 is mounted; empty: nowhere.
std::string cgroup_root() {
  const auto mounts = read_file("/proc/self/mountinfo");
  if (!mounts) return {};
  for (const std::string_view line : split(as_text(*mounts), '\n')) {
    const std::size_t dash = line.find(" - cgroup2 ");
    if (dash == std::string_view::npos) continue;
    const auto fields = split(line.substr(0, dash), ' ');
    if (fields.size() > 4) return std::string(fields[4]);
  }
  return {};
}

std::string address_of(const mezite_trace_connect& event) {
  char text[INET6_ADDRSTRLEN] = {};
  ::inet_ntop(event.family, event.address, text, sizeof text);
  return text;
}

}  // namespace

struct KernelTracer::State {
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
  std::string description;
  std::unique_ptr<bpf_object, ObjectCloser> object;
  std::vector<std::unique_ptr<bpf_link, LinkCloser>> links;
  std::unique_ptr<ring_buffer, RingCloser> ring;
  int sessions_map = -1, starters_map = -1;
  std::atomic<std::uint64_t> next_session{1};
  std::mutex mutex;  // of sessions
  std::map<std::uint64_t, std::shared_ptr<SessionEvents>> sessions;
  std::vector<audit::Event> out;  // of the thread
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
    starters_map = ::bpf_object__find_map_fd_by_name(object.get(), "starters");
    const int events = ::bpf_object__find_map_fd_by_name(object.get(), "events");
    ring.reset(::ring_buffer__new(events, &State::on_record, this, nullptr));
    if (!ring) return unavailable("opening the ring buffer", errno);
    for (const char* name : {"on_fork", "on_exec", "on_exit"}) MEZ_CHECK(attach(name, -1));
    description = "eBPF: programs (sched_process_exec)";
    const std::string root = cgroup_root();
    const UniqueFd cgroup(root.empty() ? -1 : ::open(root.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    Status hooked = cgroup ? Status{} : Status(fail(ErrorCode::kUnavailable, "there is no cgroup v2"));
    for (const char* name : {"on_connect4", "on_connect6", "on_sendmsg4", "on_sendmsg6"}) {
      if (hooked) hooked = attach(name, cgroup.get());
    }
    if (hooked) {
      description += ", connections (cgroup connect and sendmsg hooks)";
    } else {
      description += "; no connections: " + hooked.error().message;
    }
    return {};
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
    static_cast<State*>(context)->take(data, size);
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
      session = found->second;
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

  // What the kernel counted as lost, and starts counting anew.
  void ask_for_losses(std::uint64_t number, SessionEvents& session) {
    mezite_trace_session held{};
    if (::bpf_map_lookup_elem(sessions_map, &number, &held) != 0) return;
    auto& [commands, connections] = told_losses[number];
    session.lost(held.lost_commands - commands, held.lost_connections - connections);
    commands = held.lost_commands;
    connections = held.lost_connections;
  }

  void collect(SessionEvents::All all) {
    std::map<std::uint64_t, std::shared_ptr<SessionEvents>> now_sessions;
    {
      std::lock_guard lock(mutex);
      now_sessions = sessions;
    }
    const SteadyTime now = std::chrono::steady_clock::now();
    for (const auto& [number, session] : now_sessions) {
      const bool empty = std::ranges::find(emptied, number) != emptied.end();
      ask_for_losses(number, *session);
      session->collect(now, empty ? SessionEvents::All::kYes : all, out);
      if (!empty) continue;
      ::bpf_map_delete_elem(sessions_map, &number);
      told_losses.erase(number);
      std::lock_guard lock(mutex);
      sessions.erase(number);
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

  std::map<std::uint64_t, std::pair<std::uint64_t, std::uint64_t>> told_losses;
};

KernelTracer::KernelTracer(std::unique_ptr<State> state) : state_(std::move(state)) {}

Result<std::unique_ptr<KernelTracer>> KernelTracer::open(Emit emit) {
  // The kernel's programs know threads by their numbers in the first PID namespace, which has this fixed inode.
  struct stat space{};
  if (::stat("/proc/self/ns/pid", &space) != 0 || space.st_ino != 0xEFFFFFFCu) {
    return fail(ErrorCode::kUnavailable, "mezd runs in a PID namespace of its own (a container)");
  }
  ::libbpf_set_print(keep_complaint);
  last_complaint().clear();
  auto state = std::make_unique<State>();
  state->emit = std::move(emit);
  MEZ_CHECK(state->load());
  State* running = state.get();
  state->thread = std::thread([running] { running->run(); });
  return std::unique_ptr<KernelTracer>(new KernelTracer(std::move(state)));
}

KernelTracer::~KernelTracer() {
  state_->stopping = true;
  state_->thread.join();
}

const std::string& KernelTracer::description() const { return state_->description; }

Result<KernelTracer::Starting> KernelTracer::start(TracedSession session) {
  const std::uint64_t number = state_->next_session++;
  const mezite_trace_session nothing{};
  if (::bpf_map_update_elem(state_->sessions_map, &number, &nothing, BPF_NOEXIST) != 0) {
    return fail(ErrorCode::kResourceExhausted, "too many sessions are followed in the kernel");
  }
  {
    std::lock_guard lock(state_->mutex);
    state_->sessions.emplace(number, std::make_shared<SessionEvents>(std::move(session)));
  }
  const std::uint32_t thread = this_thread();
  if (::bpf_map_update_elem(state_->starters_map, &thread, &number, BPF_ANY) != 0) {
    ::bpf_map_delete_elem(state_->sessions_map, &number);
    std::lock_guard lock(state_->mutex);
    state_->sessions.erase(number);
    return fail(ErrorCode::kResourceExhausted, "too many sessions start at once to be followed in the kernel");
  }
  return Starting(this, thread);
}

KernelTracer::Starting::Starting(Starting&& other) noexcept
    : tracer_(std::exchange(other.tracer_, nullptr)), thread_(other.thread_) {}

KernelTracer::Starting::~Starting() {
  if (tracer_ == nullptr) return;
  State& state = *tracer_->state_;
  std::uint64_t number = 0;
  const bool marked = ::bpf_map_lookup_elem(state.starters_map, &thread_, &number) == 0;
  ::bpf_map_delete_elem(state.starters_map, &thread_);
  mezite_trace_session held{};
  if (!marked || ::bpf_map_lookup_elem(state.sessions_map, &number, &held) != 0 || held.forked > 0) return;
  // Nothing was started: nobody will tell that the last process has ended.
  ::bpf_map_delete_elem(state.sessions_map, &number);
  std::lock_guard lock(state.mutex);
  state.sessions.erase(number);
}

}  // namespace mezite::agent

#else

namespace mezite::agent {

struct KernelTracer::State {
  std::string description;
};

KernelTracer::KernelTracer(std::unique_ptr<State> state) : state_(std::move(state)) {}
KernelTracer::~KernelTracer() = default;
Result<std::unique_ptr<KernelTracer>> KernelTracer::open(Emit) {
  return fail(ErrorCode::kUnavailable, "mezd was built without it: clang-19 and libbpf-dev were not there");
}
const std::string& KernelTracer::description() const { return state_->description; }
Result<KernelTracer::Starting> KernelTracer::start(TracedSession) {
  return fail(ErrorCode::kUnavailable, "mezd was built without it");
}
KernelTracer::Starting::Starting(Starting&& other) noexcept : tracer_(other.tracer_), thread_(other.thread_) {}
KernelTracer::Starting::~Starting() = default;

}  // namespace mezite::agent

#endif
