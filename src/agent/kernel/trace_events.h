/* What the programs in the kernel (session_trace.bpf.c) and the agent say to each other. Plain C: both sides include it. */
#ifndef MEZITE_AGENT_KERNEL_TRACE_EVENTS_H
#define MEZITE_AGENT_KERNEL_TRACE_EVENTS_H

enum mezite_trace_kind {
  MEZITE_TRACE_EXEC = 1,
  MEZITE_TRACE_EXIT = 2,
  MEZITE_TRACE_CONNECT = 3,
  MEZITE_TRACE_EMPTY = 4, /* the last process of a session has ended */
};

enum { MEZITE_TRACE_PATH_BYTES = 256, MEZITE_TRACE_ARGS_BYTES = 2048, MEZITE_TRACE_NAME_BYTES = 16 };

struct mezite_trace_head {
  __u64 session;
  __u32 kind;
  __u32 pid; /* of the process (tgid) */
};

struct mezite_trace_exec {
  struct mezite_trace_head head;
  __u32 ppid;
  __u32 uid;
  __u32 args_bytes; /* of all arguments, each with its NUL; args holds the first so many of them */
  __u32 path_bytes; /* with its NUL */
  char path[MEZITE_TRACE_PATH_BYTES];
  char args[MEZITE_TRACE_ARGS_BYTES];
};

struct mezite_trace_exit {
  struct mezite_trace_head head;
  __u32 status; /* as of wait(2) */
  __u32 padding;
};

struct mezite_trace_connect {
  struct mezite_trace_head head;
  __u32 uid;
  __u16 family; /* AF_INET, AF_INET6 */
  __u16 port;   /* host byte order */
  __u32 protocol;
  __u8 address[16]; /* the first 4 of AF_INET */
  char name[MEZITE_TRACE_NAME_BYTES];
};

/* Of a session, in the map "sessions". */
struct mezite_trace_session {
  __s64 processes;
  __u64 forked; /* all there ever were */
  __u64 lost_commands;
  __u64 lost_connections;
};

#endif
