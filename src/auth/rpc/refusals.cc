#include "auth/rpc/refusals.hh"

#include "auth/record.hh"
#include "base/log.hh"

namespace mezite::auth::rpc {

std::uint64_t Refusals::count(Source& source) {
  const SystemTime now = services_.clock.now();
  const std::lock_guard lock(mutex_);
  // A clock that was set back must not keep anything quiet for longer.
  auto is_over = [&](const Told& told) { return now >= told.at + kQuiet || now < told.at; };
  auto at = told_.find(source);
  if (at == told_.end() && told_.size() >= kMostSources) {
    std::uint64_t untold = 0;
    std::erase_if(told_, [&](const auto& one) {
      if (!is_over(one.second)) return false;
      untold += one.second.since;
      return true;
    });
    if (untold != 0) told_.try_emplace(Source(), Told{now - kQuiet}).first->second.since += untold;
    if (told_.size() >= kMostSources) source = {};  // which is let in over the bound
    at = told_.find(source);
  }
  if (at == told_.end()) {
    told_.emplace(source, Told{now});
    return 1;
  }
  if (!is_over(at->second)) {
    ++at->second.since;
    return 0;
  }
  const std::uint64_t times = std::exchange(at->second, Told{now}).since + 1;
  return times;
}

void Refusals::tell(std::string_view claimed_node, std::string_view client_ip, const Error& why) {
  if (why.code != ErrorCode::kUnauthenticated && why.code != ErrorCode::kResourceExhausted) return;
  Source source{claimed_node, client_ip};
  const std::uint64_t times = count(source);
  if (times == 0) return;
  log::warn("a sealed call was refused",
            {{"node", source.first}, {"from", source.second}, {"times", times}, {"error", why}});
  audit::Event event = audit::make_event(audit::EventKind::kNodeRejected, services_.clock);
  event.resource_type = "node";
  event.resource_name = source.first;
  event.client_ip = source.second;
  event.error_message = why.message.substr(0, 1024);
  event.details = audit::Details()
                      .add("reason", "sealed_call")
                      .add("listener", "grpc")
                      .add("times", static_cast<std::int64_t>(times))
                      .text();
  // Written or not, the call is refused.
  [[maybe_unused]] Status stored = record(services_, event);
}

}  // namespace mezite::auth::rpc
