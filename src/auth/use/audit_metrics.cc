#include "auth/use/audit_metrics.hh"

#include <fmt/format.h>

namespace mezite::auth {

std::string audit_metrics(const Services& services) {
  std::string out = fmt::format(
      "# HELP mezite_audit_events Events in the audit log.\n# TYPE mezite_audit_events counter\n"
      "mezite_audit_events {}\n",
      services.audit->last_sequence());
  const auto sinks = services.audit_sinks->status();
  if (sinks.empty()) return out;
  auto family = [&](std::string_view name, std::string_view type, std::string_view help, auto value) {
    out += fmt::format("# HELP {} {}\n# TYPE {} {}\n", name, help, name, type);
    for (const audit::SinkStatus& sink : sinks)
      out += fmt::format("{}{{sink=\"{}\"}} {}\n", name, sink.name, value(sink));
  };
  family("mezite_audit_sink_delivered", "counter", "The last event that the sink took.",
         [](const audit::SinkStatus& sink) { return sink.delivered_sequence; });
  family("mezite_audit_sink_waiting", "gauge", "Events that the sink has not taken yet.",
         [](const audit::SinkStatus& sink) { return sink.last_sequence - sink.delivered_sequence; });
  family("mezite_audit_sink_lag_seconds", "gauge", "Age of the oldest event that waits.",
         [](const audit::SinkStatus& sink) {
           return fmt::format("{:.3f}", static_cast<double>(sink.lag.count()) / 1000);
         });
  family("mezite_audit_sink_failures", "gauge", "Deliveries that failed in a row.",
         [](const audit::SinkStatus& sink) { return sink.failures; });
  return out;
}

}  // namespace mezite::auth
