// Unix sockets with the rights of the login user, from a process that is the login user.
//
// A socket's peer sees who connected (SO_PEERCRED), the file system who binds: so both are done by a process with the
// user's ids and groups, started when it is first needed, one for an SSH connection. It sees the end of file when that
// connection, or mezd, ends, and then removes each socket that it made.
#pragma once

#include <sys/types.h>

#include <functional>
#include <map>
#include <memory>
#include <string>

#include "agent/forward/helper_message.hh"
#include "agent/process/login_user.hh"
#include "base/result.hh"
#include "base/unique_fd.hh"
#include "net/shard.hh"
#include "net/worker_pool.hh"

namespace mezite::agent {

// On its shard. Callbacks are called later, once, from the loop; after close() they are destroyed uncalled.
class UserHelper : public std::enable_shared_from_this<UserHelper> {
 public:
  struct Made {
    UniqueFd fd;       // non-blocking
    std::string path;  // of kListenAgent
  };
  using Then = std::move_only_function<void(Result<Made>)>;

  UserHelper(net::Shard& shard, net::WorkerPool& workers, LoginUser user)
      : shard_(shard), workers_(workers), user_(std::move(user)) {}
  ~UserHelper();
  UserHelper(const UserHelper&) = delete;
  UserHelper& operator=(const UserHelper&) = delete;

  // A relative path begins in the user's home. The errors name path and cause.
  void connect(const std::string& path, Then then) { ask(HelperWork::kConnect, path, std::move(then)); }
  void listen(const std::string& path, Then then) { ask(HelperWork::kListen, path, std::move(then)); }
  // For SSH_AUTH_SOCK: "/tmp/ssh-XXXXXXXXXX/agent.PID", the folder 0700.
  void listen_for_agent(Then then) { ask(HelperWork::kListenAgent, "", std::move(then)); }
  void remove(const std::string& path);

  // The process ends, and its sockets go. Twice is fine.
  void close();

 private:
  class Reaper;
  enum class State { kIdle, kStarting, kRunning, kClosed };
  struct Question {
    HelperRequest request;
    Then then;
    int tries = 0;
  };

  void ask(HelperWork work, const std::string& path, Then then);
  void start();
  void started(std::shared_ptr<Reaper> process, UniqueFd ours);
  void send(Question question);
  void refuse(Question question, Error why);
  void on_readable();
  void take(const HelperReply& reply, UniqueFd fd);
  void lose(const Error& why);

  net::Shard& shard_;
  net::WorkerPool& workers_;
  const LoginUser user_;
  State state_ = State::kIdle;
  UniqueFd socket_;
  std::shared_ptr<Reaper> process_;
  std::uint32_t next_id_ = 1;
  std::map<std::uint32_t, Question> open_;  // sent, or waiting for the start
};

}  // namespace mezite::agent
