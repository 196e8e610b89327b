/* Which programs the processes of sessions run and whom they connect to. A process belongs to a session when the thread that
 * started the session's first one (map "starters") forked it, or a process of the session did, whatever its parent,
 * process group or cgroup is by now; and when it is in the session's cgroup or below it, however it came there. Nothing
 * is decided here, everything is let through.
 *
 * Fields of the kernel's structures are found by BTF when this is loaded (CO-RE), so it is built without a kernel's headers. */
#include <linux/types.h>
/* after the types */
#include <linux/bpf.h>
/* after the definitions */
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#include "trace_events.h"

#define CORE __attribute__((preserve_access_index))

typedef struct {
  int counter;
} CORE atomic_t;
struct signal_struct {
  atomic_t live;
} CORE;
struct mm_struct {
  unsigned long arg_start, arg_end;
} CORE;
struct task_struct {
  int pid, tgid;
  int exit_code;
  struct task_struct *real_parent;
  struct mm_struct *mm;
  struct signal_struct *signal;
} CORE;
struct linux_binprm {
  const char *filename;
} CORE;

struct {
  __uint(type, BPF_MAP_TYPE_RINGBUF);
  __uint(max_entries, 4 << 20);
} events SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, 8192);
  __type(key, __u64);
  __type(value, struct mezite_trace_session);
} sessions SEC(".maps");

/* Thread of the agent -> session that it is starting. */
struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, 1024);
  __type(key, __u32);
  __type(value, __u64);
} starters SEC(".maps");

/* Process -> its session. */
struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, 65536);
  __type(key, __u32);
  __type(value, __u64);
} processes SEC(".maps");

/* Number of a session's own cgroup -> the session. */
struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, 8192);
  __type(key, __u64);
  __type(value, __u64);
} cgroups SEC(".maps");

/* How deep those are below the root; 0: there are none. */
struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, 1);
  __type(key, __u32);
  __type(value, __u32);
} cgroup_level SEC(".maps");

static __always_inline void fill_head(struct mezite_trace_head *head, __u64 session, __u32 kind, __u32 pid) {
  head->session = session;
  head->kind = kind;
  head->pid = pid;
}

static __always_inline void lose_command(__u64 session) {
  struct mezite_trace_session *state = bpf_map_lookup_elem(&sessions, &session);
  if (state) __sync_fetch_and_add(&state->lost_commands, 1);
}

static __always_inline void add_process(__u32 pid, __u64 number) {
  if (bpf_map_update_elem(&processes, &pid, &number, BPF_ANY) != 0) {
    lose_command(number);
    return;
  }
  struct mezite_trace_session *state = bpf_map_lookup_elem(&sessions, &number);
  if (!state) return;
  __sync_fetch_and_add(&state->processes, 1);
  __sync_fetch_and_add(&state->forked, 1);
}

/* The session in whose cgroup the current process is; 0: none. */
static __always_inline __u64 session_by_cgroup(void) {
  __u32 zero = 0;
  __u32 *level = bpf_map_lookup_elem(&cgroup_level, &zero);
  if (!level || !*level) return 0;
  __u64 id = bpf_get_current_ancestor_cgroup_id(*level);
  __u64 *session = bpf_map_lookup_elem(&cgroups, &id);
  return session ? *session : 0;
}

/* The current process's session; 0: none. One that came by its cgroup is followed from then on. */
static __always_inline __u64 session_of(__u32 pid) {
  __u64 *session = bpf_map_lookup_elem(&processes, &pid);
  if (session) return *session;
  __u64 number = session_by_cgroup();
  if (number) add_process(pid, number);
  return number;
}

SEC("tp_btf/sched_process_fork")
int BPF_PROG(on_fork, struct task_struct *parent, struct task_struct *child) {
  __u32 parent_tid = parent->pid, parent_pid = parent->tgid, pid = child->tgid;
  if (child->pid != child->tgid) return 0; /* a thread */
  __u64 *session = bpf_map_lookup_elem(&starters, &parent_tid);
  if (!session) session = bpf_map_lookup_elem(&processes, &parent_pid);
  __u64 number = session ? *session : session_by_cgroup();
  if (number) add_process(pid, number);
  return 0;
}

SEC("tp_btf/sched_process_exec")
int BPF_PROG(on_exec, struct task_struct *task, int old_pid, struct linux_binprm *binary) {
  __u32 pid = task->tgid;
  __u64 session = session_of(pid);
  if (!session) return 0;
  struct mezite_trace_exec *event = bpf_ringbuf_reserve(&events, sizeof *event, 0);
  if (!event) {
    lose_command(session);
    return 0;
  }
  fill_head(&event->head, session, MEZITE_TRACE_EXEC, pid);
  event->ppid = task->real_parent->tgid;
  event->uid = (__u32)bpf_get_current_uid_gid();
  long got = bpf_probe_read_kernel_str(event->path, sizeof event->path, binary->filename);
  event->path_bytes = got > 0 ? got : 0;
  unsigned long from = task->mm->arg_start, to = task->mm->arg_end;
  __u32 all = to > from ? to - from : 0;
  event->args_bytes = all;
  __u64 wanted = all;
  barrier_var(wanted); /* the verifier wants the bound on the register that is used */
  if (wanted > MEZITE_TRACE_ARGS_BYTES) wanted = MEZITE_TRACE_ARGS_BYTES;
  if (wanted > 0 && bpf_probe_read_user(event->args, wanted, (const void *)from) != 0) event->args_bytes = 0;
  bpf_ringbuf_submit(event, 0);
  return 0;
}

SEC("tp_btf/sched_process_exit")
int BPF_PROG(on_exit, struct task_struct *task) {
  __u32 pid = task->tgid;
  __u64 *found = bpf_map_lookup_elem(&processes, &pid);
  if (!found) return 0;
  if (task->signal->live.counter > 0) return 0; /* other threads go on */
  __u64 session = *found;
  struct mezite_trace_exit *event = bpf_ringbuf_reserve(&events, sizeof *event, 0);
  if (event) {
    fill_head(&event->head, session, MEZITE_TRACE_EXIT, pid);
    event->status = task->exit_code;
    event->padding = 0;
    bpf_ringbuf_submit(event, 0);
  }
  bpf_map_delete_elem(&processes, &pid);
  struct mezite_trace_session *state = bpf_map_lookup_elem(&sessions, &session);
  if (!state || __sync_fetch_and_add(&state->processes, -1) != 1) return 0;
  struct mezite_trace_head *last = bpf_ringbuf_reserve(&events, sizeof *last, 0);
  if (!last) return 0;
  fill_head(last, session, MEZITE_TRACE_EMPTY, pid);
  bpf_ringbuf_submit(last, 0);
  return 0;
}

static __always_inline int tell_connect(struct bpf_sock_addr *context, int family, const __u32 *address, int words) {
  __u32 pid = bpf_get_current_pid_tgid() >> 32;
  __u64 session = session_of(pid);
  if (!session) return 1;
  struct mezite_trace_connect *event = bpf_ringbuf_reserve(&events, sizeof *event, 0);
  if (!event) {
    struct mezite_trace_session *state = bpf_map_lookup_elem(&sessions, &session);
    if (state) __sync_fetch_and_add(&state->lost_connections, 1);
    return 1;
  }
  fill_head(&event->head, session, MEZITE_TRACE_CONNECT, pid);
  event->uid = (__u32)bpf_get_current_uid_gid();
  event->family = family;
  event->port = bpf_ntohs((__u16)context->user_port);
  event->protocol = context->protocol;
  __builtin_memset(event->address, 0, sizeof event->address);
  __builtin_memcpy(event->address, address, words * 4);
  bpf_get_current_comm(event->name, sizeof event->name);
  bpf_ringbuf_submit(event, 0);
  return 1;
}

static __always_inline int tell_v4(struct bpf_sock_addr *context) {
  __u32 address[1] = {context->user_ip4};
  return tell_connect(context, 2 /* AF_INET */, address, 1);
}
static __always_inline int tell_v6(struct bpf_sock_addr *context) {
  __u32 address[4] = {context->user_ip6[0], context->user_ip6[1], context->user_ip6[2], context->user_ip6[3]};
  return tell_connect(context, 10 /* AF_INET6 */, address, 4);
}

SEC("cgroup/connect4")
int on_connect4(struct bpf_sock_addr *context) { return tell_v4(context); }
SEC("cgroup/connect6")
int on_connect6(struct bpf_sock_addr *context) { return tell_v6(context); }
/* Datagrams without connect(2). */
SEC("cgroup/sendmsg4")
int on_sendmsg4(struct bpf_sock_addr *context) { return tell_v4(context); }
SEC("cgroup/sendmsg6")
int on_sendmsg6(struct bpf_sock_addr *context) { return tell_v6(context); }

/* The kernel gives what reads tasks to programs under a licence compatible with its own only. */
char LICENSE[] SEC("license") = "Dual MIT/GPL";
