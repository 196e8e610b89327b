#include "auth/use/recording_metrics.hh"

#include <fmt/format.h>

#include "auth/recording_archive.hh"

namespace mezite::auth {
namespace {

// Node names are those of hosts; nothing else may end a label.
std::string label(std::string_view name) {
  std::string out;
  for (const char c : name) {
    if (c != '"' && c != '\\' && c != '\n') out += c;
  }
  return out;
}

}  // namespace

std::string recording_metrics(const Services& services) {
  std::string out;
  const auto backlogs = services.backlogs.all();
  const auto family = [&](std::string_view name, std::string_view type, std::string_view help, auto value) {
    if (backlogs.empty()) return;
    out += fmt::format("# HELP {0} {1}\n# TYPE {0} {2}\n", name, help, type);
    for (const auto& [id, backlog] : backlogs) {
      out += fmt::format("{}{{node=\"{}\"}} {}\n", name, label(backlog.node_name), value(backlog));
    }
  };
  using Backlog = RecordingBacklog;
  family("mezite_recording_backlog", "gauge", "Recordings at a node that wait for their upload.",
         [](const Backlog& b) { return b.files; });
  family("mezite_recording_spool_bytes", "gauge", "What a node's spool holds.",
         [](const Backlog& b) { return b.bytes; });
  family("mezite_recording_spool_limit_bytes", "gauge", "What it may hold (spool_max_bytes).",
         [](const Backlog& b) { return b.limit_bytes; });
  family("mezite_recording_backlog_oldest_seconds", "gauge", "Age of the oldest recording that waits at a node.",
         [](const Backlog& b) { return static_cast<double>(b.oldest_age_ms) / 1000; });
  family("mezite_recording_set_aside", "gauge", "Recordings at a node that can't be uploaded.",
         [](const Backlog& b) { return b.set_aside; });
  family("mezite_recording_upload_failures_total", "counter", "Uploads that failed since the agent's start.",
         [](const Backlog& b) { return b.upload_failures; });
  return services.recording_archive ? out + services.recording_archive->metrics() : out;
}

}  // namespace mezite::auth
