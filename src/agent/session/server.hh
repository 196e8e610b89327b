// The SSH server of the node: takes connected sockets, as they come from a dial, and serves users on them.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "agent/session/events.hh"
#include "agent/session/snapshot.hh"
#include "agent/settings/config.hh"
#include "base/clock.hh"
#include "base/unique_fd.hh"
#include "net/address.hh"
#include "net/shard.hh"
#include "net/worker_pool.hh"
#include "recording/recorder.hh"
#include "ssh/transport/transport.hh"

namespace mezite::recording {
class LiveStreams;
}

namespace mezite::agent {

struct ServerContext;
class Connection;
class KernelTracer;

// Everything that a server needs of its surroundings; all of it outlives the server and its shards.
struct ServerOptions {
  const Clock* clock = &system_clock();
  net::WorkerPool* workers = nullptr;
  const SnapshotStore* snapshots = nullptr;
  const NodeFactsStore* node = nullptr;
  EventSink* events = nullptr;
  recording::Recorder* recorder = nullptr;   // null: recordings can't be opened
  recording::LiveStreams* live = nullptr;    // null: recordings can't be streamed
  std::function<void()> recording_finished;  // any thread: a recording waits for its upload
  std::string pam_service;
  std::string sftp_server;
  OnRecordingFailure on_recording_failure = OnRecordingFailure::kContinue;
  EnhancedRecording enhanced_recording = EnhancedRecording::kOff;
  KernelTracer* tracer = nullptr;  // none: tracer_problem says why
  std::string tracer_problem;
};

struct Incoming {
  UniqueFd fd;          // connected, non-blocking
  Bytes first_bytes;    // read from it already
  net::Address client;  // where the user really is, not the other end of fd
};

class SshServer {
 public:
  SshServer(ServerOptions options, std::vector<ssh::HostKey> host_keys);
  ~SshServer();  // the shards have stopped by then
  SshServer(const SshServer&) = delete;
  SshServer& operator=(const SshServer&) = delete;

  // For connections from now on. Any thread.
  void set_host_keys(std::vector<ssh::HostKey> host_keys);

  // Serves one connection to its end, on this shard and from its thread.
  void serve(net::Shard& shard, Incoming incoming);

  // Any thread: looks at every session with the snapshot in force, and ends those that it does not admit any more.
  void recheck();
  // Any thread. Empty id: every session. The reason is shown to the user.
  void terminate(std::string_view session_id, std::string_view reason);

  std::size_t connections() const;
  std::size_t sessions() const;

 private:
  std::shared_ptr<ServerContext> context_;
};

}  // namespace mezite::agent
