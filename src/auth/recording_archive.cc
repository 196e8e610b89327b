#include "auth/recording_archive.hh"

#include <fmt/format.h>

#include "base/log.hh"
#include "crypto/random.hh"

namespace mezite::auth {
namespace {

using namespace std::chrono_literals;

constexpr std::chrono::minutes kFailureEventInterval{10};
constexpr std::size_t kMaxTold = 1024;

aws::S3Options s3_options(const Config::Recording& config, const aws::Environment& environment) {
  aws::S3Options options;
  options.bucket = config.s3_bucket;
  options.region = config.s3_region;
  for (const char* variable : {"AWS_REGION", "AWS_DEFAULT_REGION"}) {
    if (options.region.empty()) options.region = environment(variable).value_or("");
  }
  options.endpoint = config.s3_endpoint;
  using enum aws::S3Options::Addressing;
  options.addressing = config.s3_addressing == S3Addressing::kAuto   ? kAuto
                       : config.s3_addressing == S3Addressing::kPath ? kPath
                                                                     : kVirtualHost;
  options.encryption = config.s3_encryption == S3Encryption::kNone     ? aws::S3Options::Encryption::kNone
                       : config.s3_encryption == S3Encryption::kAes256 ? aws::S3Options::Encryption::kAes256
                                                                       : aws::S3Options::Encryption::kKms;
  options.kms_key_id = config.s3_kms_key_id;
  if (config.s3_auto_create_bucket) options.missing_bucket = aws::S3Options::MissingBucket::kCreate;
  // The archive tries for ever by itself; one call must not keep the hub from stopping.
  options.call = {.try_timeout = 20s, .deadline = 25s, .tries = 2, .first_pause = 100ms, .longest_pause = 1s};
  return options;
}

}  // namespace

Result<std::unique_ptr<RecordingArchive>> RecordingArchive::open(const Config& config, recording::LocalStorage& storage,
                                                                 Tell tell, const Clock& clock) {
  if (config.recording.s3_bucket.empty()) return nullptr;
  const aws::Environment environment = aws::process_environment();
  MEZ_TRY(std::unique_ptr<aws::S3> s3,
          aws::S3::open(s3_options(config.recording, environment),
                        std::make_shared<aws::CredentialChain>(environment, clock), clock));
  auto store = std::make_unique<recording::S3Store>(std::move(s3), config.recording.s3_prefix);
  std::unique_ptr<RecordingArchive> made(new RecordingArchive(storage, std::move(store), std::move(tell), clock));
  storage.set_object_store(made->store_.get());
  if (config.recording.backend == RecordingBackend::kS3) {
    recording::Archive::Callbacks callbacks;
    callbacks.stored = [archive = made.get()](const recording::StoredRecording& one) {
      archive->told_.erase(one.header.session_id);
      log::info("stored a session recording in S3", {{"session", one.header.session_id}, {"bytes", one.size_bytes}});
    };
    callbacks.failed = [archive = made.get()](const recording::StoredRecording& one, const Error& error) {
      archive->failed(one, error);
    };
    made->archive_ =
        std::make_unique<recording::Archive>(storage, *made->store_, clock, std::move(callbacks), crypto::random_u64());
  }
  return made;
}

RecordingArchive::RecordingArchive(recording::LocalStorage& storage, std::unique_ptr<recording::S3Store> store,
                                   Tell tell, const Clock& clock)
    : storage_(storage), store_(std::move(store)), tell_(std::move(tell)), clock_(clock) {}

RecordingArchive::~RecordingArchive() {
  store_->interrupt();
  archive_.reset();
  storage_.set_object_store(nullptr);
}

void RecordingArchive::kick() {
  if (archive_) archive_->kick();
}

void RecordingArchive::failed(const recording::StoredRecording& recording, const Error& error) {
  const std::string& id = recording.header.session_id;
  const SteadyTime now = clock_.steady();
  if (auto last = told_.find(id); last != told_.end() && now - last->second < kFailureEventInterval) return;
  if (told_.size() >= kMaxTold) told_.clear();
  told_[id] = now;
  audit::Event event = audit::make_event(audit::EventKind::kSessionRecordingFailed, clock_);
  event.user_name = recording.header.user;
  event.session_id = id;
  event.error_message = error.message;
  event.details = audit::Details().add("login", recording.header.login).add("while", "storing in S3").text();
  if (auto told = tell_(event); !told) log::error("an audit event could not be stored", {{"error", told.error()}});
}

std::string RecordingArchive::metrics() const {
  std::string out = store_->latency().prometheus("mezite_s3_call");
  if (!archive_) return out;
  const auto status = archive_->status();
  const auto add = [&](std::string_view name, std::string_view type, std::string_view help, auto value) {
    out += fmt::format("# HELP {0} {1}\n# TYPE {0} {2}\n{0} {3}\n", name, help, type, value);
  };
  add("mezite_recording_archive_waiting", "gauge", "Complete recordings that are not in S3 yet.", status.waiting);
  add("mezite_recording_archive_waiting_bytes", "gauge", "Their size.", status.waiting_bytes);
  add("mezite_recording_archive_oldest_seconds", "gauge", "Since the oldest one's session began.",
      static_cast<double>(status.oldest_age.count()) / 1000);
  add("mezite_recording_archive_stored_total", "counter", "Recordings stored in S3.", status.stored);
  add("mezite_recording_archive_failures_total", "counter", "Tries that failed.", status.failures);
  return out;
}

}  // namespace mezite::auth
