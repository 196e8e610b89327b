// What the auth service is made of: built once at start, shared by the gRPC API, the local socket and the proxy.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "audit/audit_log.hh"
#include "audit/sink/sinks.hh"
#include "auth/config.hh"
#include "auth/recording_backlogs.hh"
#include "base/clock.hh"
#include "identity/identity.hh"
#include "net/listener.hh"
#include "net/worker_pool.hh"
#include "pki/authority.hh"
#include "pki/retired_keys.hh"
#include "pki/revocations.hh"
#include "recording/recipient.hh"
#include "recording/storage.hh"
#include "store/database.hh"

namespace mezite::auth {

class RecordingArchive;

// Thread-safe, as every part is. Calls on the parts may block on disk or Argon2: make them on `workers`. Destroyed
// after everything that uses it has stopped; the members are in the order of their dependence.
class Services {
 public:
  // Opens database, CA keys, audit log, users and recordings, in this order; makes what is missing. Each error is one
  // sentence with the next step. `clock` outlives it.
  static Result<std::unique_ptr<Services>> open(Config config, const Clock& clock = system_clock(),
                                                const crypto::Argon2Params& passphrase = {},
                                                const crypto::Argon2Params& passwords = crypto::kPasswordArgon2);
  // Runs what is queued for the workers, without waiting for a KMS that fails. Twice is fine.
  void stop_workers();
  ~Services();  // runs what is queued for the workers, then writes what is queued for the audit log
  Services(const Services&) = delete;
  Services& operator=(const Services&) = delete;

  const std::string& cluster_name() const { return config.cluster_name; }

  // The revision (identity::Identity::revision) is announced to listeners after each change that agents must know of,
  // on the thread that made the change and before its caller is answered: keep listeners short (post to a shard).
  void on_revision(std::function<void(std::int64_t revision)> listener);
  void announce_revision();

  // Tells of a node that was removed, so that its connections are ended.
  void on_node_removed(std::function<void(std::string_view node_id)> listener);
  void announce_node_removed(std::string_view node_id);

  // Whether an agent has its control connection open. The proxy, who knows, sets the probe; false without one. The
  // probe is called from any thread.
  void set_connection_probe(std::function<bool(std::string_view node_id)> probe);
  bool is_connected(std::string_view node_id) const;

  // Who shows certificates of the Host CA issues them anew, when a key takes the place of another. Called on the thread
  // of whoever changed it, before the change is announced; one after the other.
  void on_reissue(std::function<Status()> listener);
  Status reissue_own_certificates();

  // Listeners and probe are forgotten: what they refer to is about to go. No call of one is under way when it returns.
  void forget_listeners();

  const Config config;
  const Clock& clock;
  const std::unique_ptr<store::Database> database;
  const std::unique_ptr<pki::SecretBox> secret_box;
  const std::unique_ptr<pki::KeyStore> key_store;
  const std::unique_ptr<pki::Authority> authority;
  const std::unique_ptr<pki::Revocations> revocations;
  const std::unique_ptr<pki::RetiredKeys> retired_keys;
  const std::unique_ptr<audit::AuditLog> audit;
  const std::unique_ptr<audit::Sinks> audit_sinks;
  const std::unique_ptr<identity::Identity> identity;
  const recording::Identity recording_key;  // agents seal the keys of their recordings' chains to it
  recording::LocalStorage recordings;
  std::unique_ptr<RecordingArchive> recording_archive;  // null: no bucket is configured
  RecordingBacklogs backlogs;
  // Bounds callers that nobody knows yet: logins and joins per source.
  net::Admission anonymous_calls;
  net::WorkerPool workers;

 private:
  struct Parts;
  Services(Config config, const Clock& clock, Parts parts);

  mutable std::recursive_mutex mutex_;  // held while listeners run; one may ask is_connected()
  std::vector<std::function<void(std::int64_t)>> revision_listeners_;
  std::vector<std::function<void(std::string_view)>> removal_listeners_;
  std::function<bool(std::string_view)> connected_;
  std::vector<std::function<Status()>> reissue_listeners_;
};

}  // namespace mezite::auth
