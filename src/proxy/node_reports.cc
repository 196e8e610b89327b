#include "proxy/node_reports.hh"

#include "base/log.hh"

namespace mezite::proxy {
namespace {

audit::Event node_event(Context& context, audit::EventKind kind, const std::string& node_id,
                        const std::string& node_name, const std::string& client_ip) {
  audit::Event event = audit::make_event(kind, context.services.clock);
  event.resource_type = "node";
  event.resource_name = node_name;
  event.server_id = node_id;
  event.server_hostname = node_name;
  event.client_ip = client_ip;
  return event;
}

}  // namespace

void NodeReports::add(identity::NodeReport report) {
  std::lock_guard lock(mutex_);
  auto [place, fresh] = waiting_.try_emplace(report.node_id, report);
  if (fresh) return;
  identity::NodeReport& held = place->second;
  held.at = report.at;
  if (report.hostname) held.hostname = std::move(report.hostname);
  if (report.version) held.version = std::move(report.version);
  if (report.labels) held.labels = std::move(report.labels);
  if (report.ca_report) held.ca_report = std::move(report.ca_report);
  if (report.enhanced_recording) held.enhanced_recording = std::move(report.enhanced_recording);
  if (report.host_cert_signer_fingerprint) {
    held.host_cert_signer_fingerprint = std::move(report.host_cert_signer_fingerprint);
  }
}

void NodeReports::flush() {
  std::map<std::string, identity::NodeReport> batch;
  {
    std::lock_guard lock(mutex_);
    batch.swap(waiting_);
  }
  if (batch.empty()) return;
  auto list = std::make_shared<std::vector<identity::NodeReport>>();
  for (auto& [id, report] : batch) list->push_back(std::move(report));
  bool queued = context_.services.workers.submit([this, list] {
    if (Status stored = context_.services.identity->nodes.report(*list); !stored) {
      log::warn("heartbeats could not be stored", {{"error", stored.error()}});
    }
  });
  if (!queued) {
    for (auto& report : *list) add(std::move(report));
  }
}

void NodeReports::start(net::Shard& shard) {
  shard.after(kFlushEvery, [this, &shard] {
    flush();
    start(shard);
  });
}

void NodeReports::connected(net::Shard&, const std::string& node_id, const std::string& node_name,
                            const std::string& client_ip) {
  {
    std::lock_guard lock(mutex_);
    ++epochs_[node_id];
  }
  context_.record(node_event(context_, audit::EventKind::kNodeConnected, node_id, node_name, client_ip));
}

void NodeReports::lost(net::Shard& shard, const std::string& node_id, const std::string& node_name,
                       const std::string& client_ip, const std::string& why) {
  if (context_.draining) return;  // it is the hub that leaves
  std::uint64_t epoch = 0;
  {
    std::lock_guard lock(mutex_);
    epoch = ++epochs_[node_id];
  }
  shard.after(kLeftAfter, [this, node_id, node_name, client_ip, why, epoch] {
    {
      std::lock_guard lock(mutex_);
      auto found = epochs_.find(node_id);
      if (found == epochs_.end() || found->second != epoch) return;
      epochs_.erase(found);
    }
    if (context_.draining) return;
    audit::Event event = node_event(context_, audit::EventKind::kNodeLeft, node_id, node_name, client_ip);
    event.details = audit::Details().add("reason", why).text();
    context_.record(std::move(event));
  });
}

}  // namespace mezite::proxy
