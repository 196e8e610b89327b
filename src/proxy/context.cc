#include "proxy/context.hh"

#include "auth/record.hh"
#include "base/log.hh"

namespace mezite::proxy {
namespace {

// Many users may sit behind one address; what these bound is a flood, in which whoever has most half-open peers loses
// them first.
constexpr net::Admission::Limits kFrontLimits{
    .per_second = 1000, .burst = 5000, .half_open_per_source = 256, .half_open = 1024, .sources = 65536};
// Agents of a whole site reconnect at once after an outage, and each session is a data connection.
constexpr net::Admission::Limits kTunnelLimits{
    .per_second = 500, .burst = 5000, .half_open_per_source = 1024, .half_open = 4096, .sources = 65536};

constexpr std::chrono::seconds kTicketLife{30};
constexpr std::size_t kTicketLimit = 65536;

}  // namespace

Result<net::Admission::Pass> admit(net::Admission& admission, net::Shard& shard, const net::Address& peer,
                                   const std::shared_ptr<HalfOpen>& half) {
  return admission.admit(peer, [&shard, weak = std::weak_ptr(half)] {
    shard.post([weak] {
      auto one = weak.lock();
      if (one && one->end) one->end();
    });
  });
}

Context::Context(auth::Services& services_in, net::ShardPool& shards_in)
    : services(services_in),
      shards(shards_in),
      router(tunnels, services_in.clock),
      tickets(kTicketLife, kTicketLimit, services_in.clock),
      front_admission(kFrontLimits, services_in.clock),
      tunnel_admission(kTunnelLimits, services_in.clock) {}

std::shared_ptr<const ssh::ServerConfig> Context::front_config() const {
  std::lock_guard lock(mutex_);
  return front_;
}

std::shared_ptr<const ssh::ServerConfig> Context::tunnel_config() const {
  std::lock_guard lock(mutex_);
  return tunnel_;
}

void Context::set_configs(std::shared_ptr<const ssh::ServerConfig> front,
                          std::shared_ptr<const ssh::ServerConfig> tunnel) {
  std::lock_guard lock(mutex_);
  front_ = std::move(front);
  tunnel_ = std::move(tunnel);
}

void Context::record(audit::Event event) {
  auto shared = std::make_shared<const audit::Event>(std::move(event));
  bool queued = services.workers.submit([this, shared] {
    // A failure is logged there.
    [[maybe_unused]] Status stored = auth::record(services, *shared);
  });
  if (!queued) {
    log::error("an audit event could not be stored: the hub is too busy",
               {{"event", shared->id}, {"type", shared->event_type}, {"json", audit::to_canonical_json(*shared)}});
  }
}

}  // namespace mezite::proxy
