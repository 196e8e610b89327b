#include "auth/services.hh"

#include <algorithm>
#include <thread>

#include "audit/event.hh"
#include "auth/key_store.hh"
#include "auth/passphrase.hh"
#include "auth/record.hh"
#include "auth/recording_archive.hh"
#include "auth/recording_key.hh"
#include "auth/version.hh"
#include "base/log.hh"
#include "pki/kms_key_store.hh"
#include "store/schema.hh"

namespace mezite::auth {
namespace {

// Argon2 takes a core each; SQLite and the disk wait. More threads would only queue inside them.
// With a KMS, those that wait for its signatures (bounded by KmsKeyOptions::most_at_once) come on top.
std::size_t worker_count(const Config& config) {
  const std::size_t own = std::clamp<std::size_t>(2 * std::thread::hardware_concurrency(), 4, 32);
  return config.kms.provider.empty() ? own : own + pki::KmsKeyOptions().most_at_once;
}

constexpr net::Admission::Limits kAnonymousLimits{
    .per_second = 20, .burst = 100, .half_open_per_source = 32, .half_open = 512, .sources = 65536};

// Nothing is taken in by itself: it may take long, and what was removed on purpose should not come back unasked.
void warn_of_unindexed(const Services& services) {
  const auto found = services.recordings.unindexed();
  if (!found) {
    log::warn("the folder of recordings could not be read", {{"error", found.error()}});
  } else if (!found->session_ids.empty()) {
    log::warn(
        "there are recordings that are not listed, as index.jsonl does not have them; run "
        "`mezctl recordings reindex`",
        {{"recordings", found->session_ids.size()}, {"folder", services.config.recordings_path().native()}});
  }
  if (services.recording_archive && services.recordings.index_was_missing()) {
    const std::string bucket = services.config.recording.s3_bucket;
    if (services.authority->created_now()) {
      log::info(
          "a new hub lists no recordings; if the bucket has some of this cluster, run "
          "`mezctl recordings reindex`",
          {{"bucket", bucket}});
    } else {
      log::warn("index.jsonl is not there, so recordings in S3 are not listed; run `mezctl recordings reindex`",
                {{"bucket", bucket}});
    }
  }
}

}  // namespace

struct Services::Parts {
  std::unique_ptr<store::Database> database;
  std::unique_ptr<pki::SecretBox> secret_box;
  std::unique_ptr<pki::KeyStore> key_store;
  std::unique_ptr<pki::Authority> authority;
  std::unique_ptr<pki::Revocations> revocations;
  std::unique_ptr<audit::AuditLog> audit;
  std::unique_ptr<audit::Sinks> audit_sinks;
  std::unique_ptr<identity::Identity> identity;
  recording::Identity recording_key;
  recording::LocalStorage recordings;
};

Services::Services(Config config_in, const Clock& clock_in, Parts parts)
    : config(std::move(config_in)),
      clock(clock_in),
      database(std::move(parts.database)),
      secret_box(std::move(parts.secret_box)),
      key_store(std::move(parts.key_store)),
      authority(std::move(parts.authority)),
      revocations(std::move(parts.revocations)),
      retired_keys(std::make_unique<pki::RetiredKeys>(*database, *key_store, clock)),
      audit(std::move(parts.audit)),
      audit_sinks(std::move(parts.audit_sinks)),
      identity(std::move(parts.identity)),
      recording_key(std::move(parts.recording_key)),
      recordings(std::move(parts.recordings)),
      anonymous_calls(kAnonymousLimits, clock_in),
      workers(worker_count(config)) {}

void Services::stop_workers() {
  key_store->interrupt();
  workers.stop();
}

Services::~Services() {
  stop_workers();
  recording_archive.reset();  // its thread writes to the audit log
}

Result<std::unique_ptr<Services>> Services::open(Config config, const Clock& clock,
                                                 const crypto::Argon2Params& passphrase,
                                                 const crypto::Argon2Params& passwords) {
  store::OpenOptions options{.path = config.database_path(), .migrations = store::schema()};
  options.program_version = version();
  options.readers = config.database.pool_size;
  MEZ_TRY(auto database, store::Database::open(options));
  MEZ_TRY(pki::SecretBox opened, pki::SecretBox::open(*database, config.ca_key_passphrase, passphrase));
  config.ca_key_passphrase = Secret();  // needed no more; a dump of this memory must not open the database
  auto box = std::make_unique<pki::SecretBox>(std::move(opened));
  MEZ_TRY(std::unique_ptr<pki::KeyStore> keys, open_key_store(config, *database, clock));
  MEZ_TRY(auto authority, pki::Authority::open(*database, *box, *keys, config.cluster_name, clock));
  MEZ_TRY(auto revocations, pki::Revocations::open(*database, clock));
  audit::AuditLog::Options log_options;
  log_options.cluster_name = config.cluster_name;
  log_options.hmac_key = config.audit.hmac_key.clone();
  for (const Secret& key : config.audit.previous_hmac_keys) log_options.previous_hmac_keys.push_back(key.clone());
  MEZ_TRY(auto log, audit::AuditLog::open(*database, std::move(log_options), clock));
  audit::SinkOptions sink_options{.cluster_name = config.cluster_name,
                                  .webhook_url = config.audit.sink_webhook_url,
                                  .webhook_secret = config.audit.sink_webhook_secret.clone(),
                                  .webhook_ca_file = config.audit.sink_webhook_ca_file,
                                  .webhook_allow_private = config.audit.sink_webhook_allow_private,
                                  .file_path = config.audit.sink_file_path,
                                  .syslog_addr = config.audit.sink_syslog_addr,
                                  .syslog_ca_file = config.audit.sink_syslog_ca_file};
  MEZ_TRY(auto sinks, audit::Sinks::start(*log, *database, std::move(sink_options), clock));
  MEZ_TRY(auto identity, identity::Identity::open(*database, clock, passwords));
  // A node under one of these names would have a host certificate that stands for the hub.
  identity->nodes.set_reserved_names(config.cluster_name, {config.proxy.public_addr.host});
  identity->workloads.set_trust_domain(config.cluster_name);
  MEZ_TRY(recording::Identity recording_key, open_recording_key(*database, *box, clock));
  MEZ_TRY(recording::LocalStorage recordings, recording::LocalStorage::open(config.recordings_path()));
  if (box->needs_plaintext_warning()) {
    log::warn(
        "ca_key_passphrase is not set: CA private keys and all other secrets are stored IN CLEAR in the database; set "
        "MEZITE_CA_KEY_PASSPHRASE to encrypt them");
  }
  if (!log->keyed()) {
    log::warn(
        "audit.hmac_key is not set: the audit log's chain shows accidents, but not tampering; set "
        "MEZITE_AUDIT_HMAC_KEY to a secret of 32 random bytes in hexadecimal");
  }
  std::unique_ptr<Services> services(new Services(
      std::move(config), clock,
      Parts{std::move(database), std::move(box), std::move(keys), std::move(authority), std::move(revocations),
            std::move(log), std::move(sinks), std::move(identity), std::move(recording_key), std::move(recordings)}));
  services->recordings.set_recording_key(&services->recording_key);
  auto tell = [log = services->audit.get()](const audit::Event& event) -> Status {
    MEZ_CHECK(log->append(event));
    return {};
  };
  MEZ_TRY(services->recording_archive,
          RecordingArchive::open(services->config, services->recordings, std::move(tell), clock));
  warn_of_unindexed(*services);
  if (services->authority->created_now()) {
    for (const pki::AuthorityStatus& ca : services->authority->status()) {
      audit::Event event = audit::make_event(audit::EventKind::kCaCreated, clock);
      event.resource_type = "ca";
      event.resource_name = std::string(pki::to_text(ca.type));
      event.details = audit::Details().add("fingerprint", ca.keys.active).text();
      MEZ_CHECK(services->audit->append(event));
    }
  }
  MEZ_CHECK(settle_passphrase_change(*services));
  // Events of steps of a rotation after which the hub ended before it could write them; by its id each is stored once.
  MEZ_TRY(std::vector<std::string> notes, pki::Authority::unsettled_notes(*services->database));
  for (const std::string& note : notes) {
    if (auto event = audit::event_from_json(note)) MEZ_CHECK(services->audit->append(*event));
    MEZ_CHECK(pki::Authority::settle(*services->database, note));
  }
  return services;
}

void Services::on_reissue(std::function<Status()> listener) {
  std::lock_guard lock(mutex_);
  reissue_listeners_.push_back(std::move(listener));
}

Status Services::reissue_own_certificates() {
  std::lock_guard lock(mutex_);
  for (const auto& listener : reissue_listeners_) MEZ_CHECK(listener());
  return {};
}

void Services::on_revision(std::function<void(std::int64_t)> listener) {
  std::lock_guard lock(mutex_);
  revision_listeners_.push_back(std::move(listener));
}

void Services::announce_revision() {
  Result<std::int64_t> revision = identity->revision();
  if (!revision) return log::error("the revision could not be read", {{"error", revision.error()}});
  std::lock_guard lock(mutex_);
  for (const auto& listener : revision_listeners_) listener(*revision);
}

void Services::on_node_removed(std::function<void(std::string_view)> listener) {
  std::lock_guard lock(mutex_);
  removal_listeners_.push_back(std::move(listener));
}

void Services::announce_node_removed(std::string_view node_id) {
  std::lock_guard lock(mutex_);
  for (const auto& listener : removal_listeners_) listener(node_id);
}

void Services::set_connection_probe(std::function<bool(std::string_view)> probe) {
  std::lock_guard lock(mutex_);
  connected_ = std::move(probe);
}

bool Services::is_connected(std::string_view node_id) const {
  std::lock_guard lock(mutex_);
  return connected_ && connected_(node_id);
}

void Services::forget_listeners() {
  std::lock_guard lock(mutex_);
  revision_listeners_.clear();
  removal_listeners_.clear();
  reissue_listeners_.clear();
  connected_ = nullptr;
}

}  // namespace mezite::auth
