// Audit events and the text of the recording from what an SFTP session does to files.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "agent/sftp/tap.hh"
#include "audit/event.hh"
#include "net/shard.hh"
#include "net/worker_pool.hh"

namespace mezite::agent {

// What it needs of its session.
struct SftpLogOptions {
  std::string login;
  std::string home;                                          // where sftp-server starts: what relative paths begin at
  std::function<audit::Event(audit::EventKind)> make_event;  // with user, node and session; on the shard
  // Durable when it returns: called on a worker, one call at a time, and once more on whatever thread ends the session.
  std::function<void(std::vector<audit::Event>)> store;
  std::function<void(std::string_view line)> record;  // one line without its line feed; on the shard
};

// Lives on a shard. Events go to the store in batches, so that a copy of a thousand small files waits for no disk.
class SftpLog final : public std::enable_shared_from_this<SftpLog> {
 public:
  static std::shared_ptr<SftpLog> make(net::Shard& shard, net::WorkerPool& workers, SftpLogOptions options);
  ~SftpLog();

  void from_client(BytesView bytes) { tap_.from_client(bytes); }
  void from_server(BytesView bytes) { tap_.from_server(bytes); }
  // Whether what is recorded is told in lines; false: the stream can't be followed, record its bytes.
  bool following() const { return tap_.following(); }
  // The session is over: gives the events that are left, for its last batch.
  std::vector<audit::Event> end();

 private:
  SftpLog(net::Shard& shard, net::WorkerPool& workers, SftpLogOptions options);
  void on_operation(const FileOperation& operation);
  void on_lost(std::string_view why);
  void add(audit::Event event);
  void send();

  net::Shard& shard_;
  net::WorkerPool& workers_;
  const std::shared_ptr<const SftpLogOptions> options_;
  SftpTap tap_;
  std::vector<audit::Event> waiting_;
  std::size_t dropped_ = 0;
  bool sending_ = false;
  bool ended_ = false;
  net::TimerId timer_{};
};

}  // namespace mezite::agent
