#include "audit/sink/syslog_sink.hh"

#include <fmt/format.h>
#include <unistd.h>

#include <array>

#include "base/text.hh"

namespace mezite::audit {

namespace {

constexpr std::chrono::seconds kLimit{30};
constexpr int kFacility = 13;

std::string own_hostname() {
  std::array<char, 256> name{};
  if (::gethostname(name.data(), name.size() - 1) != 0 || name[0] == '\0') return "-";
  std::string out;
  for (char c : std::string_view(name.data())) out += c > ' ' && c < 0x7f ? c : '-';
  return out;
}

}  // namespace

std::string syslog_frame(const StoredEvent& event, std::string_view hostname, int pid) {
  auto read = event_from_json(event.json);
  std::string_view code = read ? std::string_view(read->event_code) : std::string_view("-");
  int severity = code.ends_with('E') ? 3 : code.ends_with('W') ? 4 : 6;
  // RFC 5424 section 6: header, no structured data, the message as UTF-8 (which the BOM says).
  std::string message =
      fmt::format("<{}>1 {} {} mezhub {} {} - \xef\xbb\xbf{}", kFacility * 8 + severity,
                  to_rfc3339(from_unix_millis(event.timestamp_ms)), hostname, pid, code, sink_json(event));
  return fmt::format("{} {}", message.size(), message);
}

Result<std::unique_ptr<Sink>> SyslogSink::make(net::HostPort target, const std::filesystem::path& ca_file) {
  std::unique_ptr<SyslogSink> sink(new SyslogSink(std::move(target)));
  auto context = sink_tls_context(ca_file);
  if (!context) return wrap(context.error(), "audit.sink.syslog_ca_file");
  sink->context_ = std::move(*context);
  sink->hostname_ = own_hostname();
  return std::unique_ptr<Sink>(std::move(sink));
}

Status SyslogSink::deliver(std::span<const StoredEvent> events, const StopFlag& stop) {
  MEZ_TRY(TlsConnection connection,
          TlsConnection::connect(target_, context_, Reach::kAnywhere, system_clock().steady() + kLimit, stop));
  std::string frames;
  for (const StoredEvent& event : events) frames += syslog_frame(event, hostname_, ::getpid());
  MEZ_CHECK(connection.send(frames));
  return connection.finish();
}

}  // namespace mezite::audit
