#include "auth/use/recording_reindex.hh"

#include <nlohmann/json.hpp>

#include "auth/record.hh"
#include "auth/recording_archive.hh"
#include "auth/use/session_data.hh"
#include "base/log.hh"
#include "base/text.hh"
#include "recording/examine.hh"
#include "recording/reindex.hh"

namespace mezite::auth {
namespace {

constexpr std::chrono::seconds kRunTime{10};  // of one call; whoever called calls again
constexpr std::size_t kMaxInOneRun = 500;
constexpr std::string_view kLocal = "local";
constexpr std::string_view kS3 = "s3";

// "local/<session id>", "s3/", "s3/<session id>": the last one that was looked at.
struct Place {
  std::string_view storage = kLocal;
  std::string session_id;

  static Result<Place> parse(std::string_view text) {
    if (text.empty()) return Place{};
    const std::size_t slash = text.find('/');
    const std::string_view storage = text.substr(0, slash);
    const std::string_view id = slash == text.npos ? text : text.substr(slash + 1);
    if ((storage != kLocal && storage != kS3) || (!id.empty() && !recording::is_session_id(id))) {
      return fail(ErrorCode::kInvalidArgument, "after: not what an answer had as `next`");
    }
    return Place{.storage = storage == kLocal ? kLocal : kS3, .session_id = std::string(id)};
  }
  std::string text() const { return fmt::format("{}/{}", storage, session_id); }
};

struct Last {
  std::int64_t sequence = 0;  // 0: there is none
  std::string sha256;
};

Result<Last> last_event(Services& services, const std::string& session_id, std::string_view type) {
  audit::Filter filter;
  filter.type = std::string(type);
  filter.session_id = session_id;
  filter.limit = 1;
  MEZ_TRY(const auto events, services.audit->list(filter));
  if (events.empty()) return Last{};
  const auto json = nlohmann::json::parse(events.front().json, nullptr, false);
  Last last{.sequence = events.front().sequence, .sha256 = {}};
  if (json.is_object() && json.contains("details") && json["details"].is_object()) {
    const auto found = json["details"].find("sha256");
    if (found != json["details"].end() && found->is_string()) last.sha256 = found->get<std::string>();
  }
  return last;
}

class Run {
 public:
  Run(Services& services, const Caller& caller)
      : services_(services), caller_(caller), limit_(services.clock.steady() + kRunTime) {}

  Status local(const Place& from) {
    MEZ_TRY(const auto found, services_.recordings.unindexed());
    if (from.session_id.empty()) result.known += found.known;
    for (const std::string& id : found.session_ids) {
      if (id <= from.session_id) continue;
      const auto path = services_.recordings.path_of(id);
      MEZ_CHECK(look_at(kLocal, id, [&] { return recording::examine_file(path, id, &services_.recording_key); }));
      if (is_over()) {
        result.next = Place{.storage = kLocal, .session_id = id}.text();
        return {};
      }
    }
    if (services_.recording_archive) result.next = Place{.storage = kS3, .session_id = {}}.text();
    return {};
  }

  Status s3(const Place& from) {
    if (!services_.recording_archive) return {};
    recording::ObjectStore& store = services_.recording_archive->store();
    std::string token;
    do {
      MEZ_TRY(const recording::ObjectPage page, store.list(from.session_id, token));
      result.others += page.others;
      for (const std::string& id : page.session_ids) {
        if (services_.recordings.get(id)) {
          ++result.known;
        } else {
          MEZ_CHECK(look_at(kS3, id, [&] { return recording::examine_object(store, id, &services_.recording_key); }));
        }
        if (is_over()) {
          result.next = Place{.storage = kS3, .session_id = id}.text();
          return {};
        }
      }
      token = page.next;
    } while (!token.empty());
    return {};
  }

  ReindexRun result;

 private:
  bool is_over() const { return result.recordings.size() >= kMaxInOneRun || services_.clock.steady() >= limit_; }

  template <class Examine>
  Status look_at(std::string_view storage, const std::string& id, Examine examine) {
    MEZ_TRY(const Last removed, last_event(services_, id, "session.recording.deleted"));
    MEZ_TRY(const Last uploaded, last_event(services_, id, "session.recording.uploaded"));
    ReindexedRecording one{.session_id = id, .storage = storage, .reason = {}, .recording = {}};
    if (removed.sequence > uploaded.sequence) {
      one.reason = "it was removed, says the audit log; delete what is left of it";
      result.recordings.push_back(std::move(one));
      return {};
    }
    Result<recording::StoredRecording> examined = examine();
    if (!examined) {
      const ErrorCode code = examined.error().code;
      if (code == ErrorCode::kNotFound) return {};  // removed at this moment
      // A store that is away is that for all of them; what else is wrong with one holds up no other.
      if (code == ErrorCode::kUnavailable || code == ErrorCode::kTimeout) return std::unexpected(examined.error());
      one.reason = examined.error().message;
    } else if (examined->header.cluster_name != services_.cluster_name()) {
      one.reason = fmt::format("it is a recording of the cluster '{}'", examined->header.cluster_name);
    } else {
      MEZ_CHECK(take(one, *std::move(examined), uploaded));
    }
    result.recordings.push_back(std::move(one));
    return {};
  }

  Status take(ReindexedRecording& one, recording::StoredRecording found, const Last& uploaded) {
    if (found.problem.empty()) {
      MEZ_TRY(const std::string chain, chain_of_start(services_, found.owner, one.session_id));
      if (!chain.empty() && chain != recording::chain_id(found.header)) found.problem = recording::kReplaced;
    }
    one.vouched = !uploaded.sha256.empty() && uploaded.sha256 == found.sha256;
    if (one.vouched) {
      found.complete = true;  // of a session that was cut off, this is all that there ever was
    } else if (!uploaded.sha256.empty()) {
      found.problem =
          fmt::format("its SHA-256 is {}, but {} when it came, says the audit log", found.sha256, uploaded.sha256);
    }
    one.reason = found.problem;
    if (const auto adopted = services_.recordings.adopt(found); !adopted) {
      if (adopted.error().code != ErrorCode::kAlreadyExists && adopted.error().code != ErrorCode::kFailedPrecondition) {
        return adopted;
      }
      one.reason = "it is being uploaded: " + adopted.error().message;
      return {};
    }
    one.taken = true;
    audit::Event event = event_by(services_, caller_, audit::EventKind::kSessionRecordingReindexed);
    event.resource_type = "recording";
    event.resource_name = one.session_id;
    event.session_id = one.session_id;
    event.error_message = found.problem;
    event.details = audit::Details()
                        .add("user", found.header.user)
                        .add("node", found.header.node)
                        .add("size_bytes", static_cast<std::int64_t>(found.size_bytes))
                        .add("sha256", found.sha256)
                        .add("storage", one.storage)
                        .add("vouched", one.vouched)
                        .text();
    one.recording = std::move(found);
    return record(services_, event);
  }

  Services& services_;
  const Caller& caller_;
  const SteadyTime limit_;
};

}  // namespace

Result<ReindexRun> reindex_recordings(Services& services, const Caller& caller, std::string_view after) {
  MEZ_CHECK(require(services, caller, "recordings", "update"));
  MEZ_TRY(const Place from, Place::parse(after));
  Run run(services, caller);
  if (from.storage == kLocal) {
    MEZ_CHECK(run.local(from));
    if (services.recording_archive) services.recording_archive->kick();
  } else {
    MEZ_CHECK(run.s3(from));
  }
  return std::move(run.result);
}

}  // namespace mezite::auth
