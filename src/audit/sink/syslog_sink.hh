// Events to a syslog server: RFC 5424 messages over TLS (RFC 5425). Inside src/audit/sink/ only.
#pragma once

#include <filesystem>
#include <memory>

#include "audit/sink/tls_connection.hh"

namespace mezite::audit {

// Syslog has no receipts. A batch is a connection of its own; it counts as delivered when the server, told that no more
// comes, has ended it too without an error: by then it has read all of it.
class SyslogSink final : public Sink {
 public:
  static Result<std::unique_ptr<Sink>> make(net::HostPort target, const std::filesystem::path& ca_file);
  const char* name() const override { return "syslog"; }
  std::string target() const override { return target_.text(); }
  Status deliver(std::span<const StoredEvent> events, const StopFlag& stop) override;

 private:
  explicit SyslogSink(net::HostPort target) : target_(std::move(target)) {}
  net::HostPort target_;
  std::string hostname_;
  std::shared_ptr<crypto::TlsContext> context_;
};

// One message with its length in front (RFC 5425 section 4.3). Facility 13 (log audit); the severity is the code's
// letter: informational, warning or error.
std::string syslog_frame(const StoredEvent& event, std::string_view hostname, int pid);

}  // namespace mezite::audit
