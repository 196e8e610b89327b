// Audit events to the world outside: a webhook, a file, a syslog server. Each gets every event of the log in order, at
// least once; where it was is kept in the database, so one that is down for days, or a hub that is, loses nothing.
#pragma once

#include <chrono>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.hh"
#include "base/secret.hh"
#include "net/address.hh"

namespace mezite::store {
class Database;
}

namespace mezite::audit {

class AuditLog;

struct SinkOptions {
  std::string cluster_name;
  std::string webhook_url;                // https://…; empty: none
  Secret webhook_secret;                  // empty: not signed
  std::filesystem::path webhook_ca_file;  // empty: the system's roots
  bool webhook_allow_private = false;
  std::filesystem::path file_path;           // empty: none
  std::optional<net::HostPort> syslog_addr;  // RFC 5424 over TLS
  std::filesystem::path syslog_ca_file;
};

struct SinkStatus {
  std::string name, target;
  std::int64_t delivered_sequence = 0;
  std::int64_t last_sequence = 0;    // of the log
  std::chrono::milliseconds lag{0};  // age of the oldest event that waits; 0: none does
  std::int64_t failures = 0;         // in a row
  std::string last_error;            // "" while it works
  std::optional<SystemTime> delivered_at;
};

class Sinks {
 public:
  // Starts a thread for each that is configured. Refuses what can't ever work (a CA file that holds none). Log and
  // database outlive it.
  static Result<std::unique_ptr<Sinks>> start(AuditLog& log, store::Database& database, SinkOptions options,
                                              const Clock& clock = system_clock());
  ~Sinks();  // ends what is under way; the rest follows at the next start
  std::vector<SinkStatus> status() const;
  // Waits until each took this event; false when one did not in the time.
  bool await_delivered(std::int64_t sequence, std::chrono::milliseconds limit) const;

 private:
  struct State;
  explicit Sinks(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace mezite::audit
