// What the connections and sessions of one server share. Internal to session/.
#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "agent/session/server.hh"
#include "ssh/endpoint/server.hh"
#include "ssh/keys/certificate_check.hh"

namespace mezite::agent {

struct ServerContext : std::enable_shared_from_this<ServerContext> {
  explicit ServerContext(ServerOptions given) : options(std::move(given)) {}

  const ServerOptions options;
  ssh::SignatureCache signatures;

  std::shared_ptr<const ssh::ServerConfig> config() const;
  void set_config(std::shared_ptr<const ssh::ServerConfig> config);

  // Counts a session while it lives.
  class SessionPass {
   public:
    SessionPass() = default;
    SessionPass(std::shared_ptr<ServerContext> context, std::string user)
        : context_(std::move(context)), user_(std::move(user)) {}
    SessionPass(SessionPass&& other) noexcept = default;
    SessionPass& operator=(SessionPass&& other) noexcept {
      release();
      context_ = std::move(other.context_);
      user_ = std::move(other.user_);
      return *this;
    }
    ~SessionPass() { release(); }
    explicit operator bool() const { return context_ != nullptr; }

   private:
    void release();
    std::shared_ptr<ServerContext> context_;
    std::string user_;
  };
  // An empty pass when the user has `limit` (0: any number) already.
  SessionPass enter_session(const std::string& user, std::uint32_t limit);
  std::size_t session_count() const;

  void add(std::uint64_t id, std::shared_ptr<Connection> connection);
  void remove(std::uint64_t id);
  std::vector<std::shared_ptr<Connection>> connections() const;
  std::size_t connection_count() const;
  std::uint64_t next_connection_id() { return next_id_.fetch_add(1); }

  // Hands events to the sink on a worker. Any thread.
  void emit(std::vector<audit::Event> events);
  // The same, durable when it returns: blocks for the disk. Any thread.
  void store(std::vector<audit::Event> events);

 private:
  mutable std::mutex mutex_;
  std::shared_ptr<const ssh::ServerConfig> config_;
  std::map<std::uint64_t, std::shared_ptr<Connection>> connections_;
  std::map<std::string, std::uint32_t> sessions_of_;
  std::size_t sessions_ = 0;
  std::atomic<std::uint64_t> next_id_{1};
};

}  // namespace mezite::agent
