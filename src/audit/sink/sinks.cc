#include "audit/sink/sinks.hh"

#include <algorithm>

#include "audit/sink/file_sink.hh"
#include "audit/sink/shipper.hh"
#include "audit/sink/syslog_sink.hh"
#include "audit/sink/webhook_sink.hh"
#include "base/log.hh"

namespace mezite::audit {

struct Sinks::State {
  std::vector<std::unique_ptr<Shipper>> shippers;
};

Sinks::Sinks(std::unique_ptr<State> state) : state_(std::move(state)) {}
Sinks::~Sinks() = default;

Result<std::unique_ptr<Sinks>> Sinks::start(AuditLog& log, store::Database& database, SinkOptions options,
                                            const Clock& clock) {
  std::vector<std::unique_ptr<Sink>> sinks;
  if (!options.webhook_url.empty()) {
    MEZ_TRY(auto sink, WebhookSink::make({.cluster_name = options.cluster_name,
                                          .url = options.webhook_url,
                                          .secret = options.webhook_secret.clone(),
                                          .ca_file = options.webhook_ca_file,
                                          .allow_private = options.webhook_allow_private},
                                         clock));
    if (options.webhook_secret.empty()) {
      log::warn(
          "audit.sink.webhook_secret is not set: the webhook can't tell this hub from others; set "
          "MEZITE_AUDIT_SINK_WEBHOOK_SECRET");
    }
    sinks.push_back(std::move(sink));
  }
  if (!options.file_path.empty()) sinks.push_back(std::make_unique<FileSink>(options.file_path));
  if (options.syslog_addr) {
    MEZ_TRY(auto sink, SyslogSink::make(*options.syslog_addr, options.syslog_ca_file));
    sinks.push_back(std::move(sink));
  }
  auto state = std::make_unique<State>();
  for (auto& sink : sinks) {
    MEZ_TRY(auto shipper, Shipper::start(log, database, std::move(sink), clock));
    state->shippers.push_back(std::move(shipper));
  }
  return std::unique_ptr<Sinks>(new Sinks(std::move(state)));
}

std::vector<SinkStatus> Sinks::status() const {
  std::vector<SinkStatus> all;
  for (const auto& shipper : state_->shippers) all.push_back(shipper->status());
  return all;
}

bool Sinks::await_delivered(std::int64_t sequence, std::chrono::milliseconds limit) const {
  const SteadyTime end = system_clock().steady() + limit;
  return std::ranges::all_of(state_->shippers, [&](const auto& shipper) {
    return shipper->await_delivered(
        sequence, std::chrono::duration_cast<std::chrono::milliseconds>(end - system_clock().steady()));
  });
}

}  // namespace mezite::audit
