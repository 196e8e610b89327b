#include "agent/session/server.hh"

#include "agent/session/connection.hh"
#include "agent/session/context.hh"
#include "base/log.hh"

namespace mezite::agent {
namespace {

std::shared_ptr<const ssh::ServerConfig> make_config(std::vector<ssh::HostKey> host_keys) {
  auto config = std::make_shared<ssh::ServerConfig>();
  config->transport.host_keys = std::move(host_keys);
  config->methods = {ssh::AuthMethod::kPublicKey};
  config->auth_timeout = std::chrono::seconds(60);
  config->keepalive.interval = std::chrono::seconds(60);
  return config;
}

void write_events(EventSink& sink, std::vector<audit::Event> events) {
  std::vector<std::string> lines;
  for (const audit::Event& event : events) lines.push_back(audit::to_canonical_json(event));
  Status status = sink.emit(std::move(events));
  if (status) return;
  // The last place where it can be told.
  for (const std::string& line : lines) {
    log::error("an audit event could not be stored", {{"error", status.error()}, {"event", line}});
  }
}

}  // namespace

std::shared_ptr<const ssh::ServerConfig> ServerContext::config() const {
  std::lock_guard lock(mutex_);
  return config_;
}

void ServerContext::set_config(std::shared_ptr<const ssh::ServerConfig> config) {
  std::lock_guard lock(mutex_);
  config_ = std::move(config);
}

ServerContext::SessionPass ServerContext::enter_session(const std::string& user, std::uint32_t limit) {
  std::lock_guard lock(mutex_);
  std::uint32_t& count = sessions_of_[user];
  if (limit != 0 && count >= limit) return {};
  ++count;
  ++sessions_;
  return SessionPass(shared_from_this(), user);
}

void ServerContext::SessionPass::release() {
  if (!context_) return;
  {
    std::lock_guard lock(context_->mutex_);
    auto entry = context_->sessions_of_.find(user_);
    if (entry != context_->sessions_of_.end() && --entry->second == 0) context_->sessions_of_.erase(entry);
    --context_->sessions_;
  }
  context_.reset();
}

std::size_t ServerContext::session_count() const {
  std::lock_guard lock(mutex_);
  return sessions_;
}

void ServerContext::add(std::uint64_t id, std::shared_ptr<Connection> connection) {
  std::lock_guard lock(mutex_);
  connections_.emplace(id, std::move(connection));
}

void ServerContext::remove(std::uint64_t id) {
  std::shared_ptr<Connection> last;  // destroyed outside of the lock
  std::lock_guard lock(mutex_);
  auto entry = connections_.find(id);
  if (entry == connections_.end()) return;
  last = std::move(entry->second);
  connections_.erase(entry);
}

std::vector<std::shared_ptr<Connection>> ServerContext::connections() const {
  std::lock_guard lock(mutex_);
  std::vector<std::shared_ptr<Connection>> all;
  for (const auto& [id, connection] : connections_) all.push_back(connection);
  return all;
}

std::size_t ServerContext::connection_count() const {
  std::lock_guard lock(mutex_);
  return connections_.size();
}

void ServerContext::emit(std::vector<audit::Event> events) {
  auto kept = std::make_shared<std::vector<audit::Event>>(std::move(events));
  EventSink* sink = options.events;
  if (!options.workers->submit([sink, kept] { write_events(*sink, std::move(*kept)); })) {
    // The queue is full or the agent is going down: slow is better than lost.
    write_events(*sink, std::move(*kept));
  }
}

void ServerContext::store(std::vector<audit::Event> events) { write_events(*options.events, std::move(events)); }

SshServer::SshServer(ServerOptions options, std::vector<ssh::HostKey> host_keys)
    : context_(std::make_shared<ServerContext>(std::move(options))) {
  context_->set_config(make_config(std::move(host_keys)));
}

SshServer::~SshServer() {
  for (const std::shared_ptr<Connection>& connection : context_->connections()) context_->remove(connection->id());
}

void SshServer::set_host_keys(std::vector<ssh::HostKey> host_keys) {
  context_->set_config(make_config(std::move(host_keys)));
}

void SshServer::serve(net::Shard& shard, Incoming incoming) {
  auto connection = std::make_shared<Connection>(context_, shard, std::move(incoming.client));
  context_->add(connection->id(), connection);
  connection->start(std::move(incoming.fd), std::move(incoming.first_bytes));
}

void SshServer::recheck() {
  for (const std::shared_ptr<Connection>& connection : context_->connections()) {
    connection->shard().post([weak = std::weak_ptr(connection)] {
      if (auto self = weak.lock()) self->recheck();
    });
  }
}

void SshServer::terminate(std::string_view session_id, std::string_view reason) {
  for (const std::shared_ptr<Connection>& connection : context_->connections()) {
    connection->shard().post(
        [weak = std::weak_ptr(connection), id = std::string(session_id), why = std::string(reason)] {
          if (auto self = weak.lock()) self->terminate(id, why);
        });
  }
}

std::size_t SshServer::connections() const { return context_->connection_count(); }
std::size_t SshServer::sessions() const { return context_->session_count(); }

}  // namespace mezite::agent
