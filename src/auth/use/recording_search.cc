#include "auth/use/recording_search.hh"

#include <algorithm>

#include "auth/record.hh"
#include "auth/use/recording_access.hh"
#include "base/log.hh"
#include "base/text.hh"

namespace mezite::auth {
namespace {

using recording::IndexState;

constexpr std::chrono::seconds kRunTime{10};  // of one call; whoever called calls again

recording::CommandIndex index_of(Services& services) { return {*services.database, services.clock}; }

// Reads it from the storage, whatever that is.
Result<recording::IndexedSession> index_one(Services& services, const std::string& session_id) {
  auto index = index_of(services);
  auto offset = std::make_shared<std::uint64_t>(0);
  auto part = std::make_shared<Bytes>();
  auto at = std::make_shared<std::size_t>(0);
  const auto pull = [&services, &session_id, offset, part, at](std::span<std::uint8_t> buffer) -> Result<std::size_t> {
    if (*at == part->size()) {
      MEZ_TRY(auto chunk, services.recordings.read(session_id, *offset, kMaxPartBytes));
      *part = std::move(chunk.data);
      *offset += part->size();
      *at = 0;
    }
    const std::size_t size = std::min(buffer.size(), part->size() - *at);
    std::copy_n(part->begin() + static_cast<std::ptrdiff_t>(*at), size, buffer.begin());
    *at += size;
    return size;
  };
  recording::ReadOptions options;
  options.chain_key = [&services](const recording::Header& header) -> Result<Secret> {
    return chain_key_of(services, header);
  };
  Result<recording::Reader> reader = recording::Reader::open(pull, options);
  if (!reader) {
    MEZ_CHECK(index.put_unreadable(session_id, reader.error().message));
    return recording::IndexedSession{.state = IndexState::kUnreadable, .note = reader.error().message};
  }
  return index.put(*reader);
}

void count(FoundCommands& found, const std::optional<recording::IndexedSession>& session) {
  if (!session) {
    ++found.not_indexed;
  } else if (session->state == IndexState::kEncrypted) {
    ++found.encrypted;
  } else if (session->state == IndexState::kUnreadable) {
    ++found.unreadable;
  }
}

}  // namespace

Result<FoundCommands> search_recordings(Services& services, const Caller& caller, recording::CommandFilter filter) {
  const bool all = allowed(caller, "recordings", "read");
  if (!all) {
    if (caller.kind != Caller::Kind::kUser) return fail(ErrorCode::kPermissionDenied, "only users have recordings");
    if (!filter.user.empty() && filter.user != caller.name) MEZ_CHECK(require(services, caller, "recordings", "read"));
    filter.user = caller.name;
  }
  if (!filter.session_id.empty()) MEZ_CHECK(get_recording(services, caller, filter.session_id));
  FoundCommands found;
  auto index = index_of(services);
  MEZ_TRY(found.commands, index.find(filter));
  if (!filter.session_id.empty()) {
    MEZ_TRY(const auto session, index.state_of(filter.session_id));
    count(found, session);
  } else if (!filter.before) {
    // Only on the first page. A session that began before `since` may hold commands after it: a day is allowed for
    // that.
    std::optional<SystemTime> since = filter.since;
    if (since) *since -= std::chrono::days(1);
    for (const auto& stored : services.recordings.list(filter.user, filter.node)) {
      if (!stored.complete || (since && stored.header.started_at < *since) ||
          (filter.until && stored.header.started_at >= *filter.until)) {
        continue;
      }
      MEZ_TRY(const auto session, index.state_of(stored.header.session_id));
      count(found, session);
    }
  }
  if (all && filter.user != caller.name) {
    audit::Event event = event_by(services, caller, audit::EventKind::kSessionRecordingSearched);
    event.resource_type = "recording";
    audit::Details details;
    details.add("text", filter.text).add("found", static_cast<std::int64_t>(found.commands.size()));
    if (!filter.user.empty()) details.add("user", filter.user);
    if (!filter.node.empty()) details.add("node", filter.node);
    if (!filter.session_id.empty()) details.add("session", filter.session_id);
    event.details = details.text();
    MEZ_CHECK(record(services, event));
  }
  return found;
}

void index_soon(Services& services, std::string_view session_id) {
  const bool queued = services.workers.submit([&services, id = std::string(session_id)] {
    if (auto indexed = index_one(services, id); !indexed) {
      log::warn("a recording's commands were not indexed; `mezctl recordings index` does it again",
                {{"session", id}, {"error", indexed.error()}});
    }
  });
  if (!queued) log::warn("too busy to index a recording's commands", {{"session", session_id}});
}

Result<IndexRun> index_recordings(Services& services, const Caller& caller, std::string_view session_id) {
  MEZ_CHECK(require(services, caller, "recordings", "update"));
  auto index = index_of(services);
  std::vector<std::string> wanted;
  if (!session_id.empty()) {
    MEZ_TRY(const auto stored, get_recording(services, caller, session_id));
    if (!stored.complete) {
      return fail(ErrorCode::kFailedPrecondition, "the recording has not arrived whole; it is indexed when it has");
    }
    wanted.push_back(stored.header.session_id);
  } else {
    for (const auto& stored : services.recordings.list()) {
      if (!stored.complete) continue;
      MEZ_TRY(const auto known, index.state_of(stored.header.session_id));
      if (!known) wanted.push_back(stored.header.session_id);
    }
  }
  IndexRun run;
  const SteadyTime limit = services.clock.steady() + kRunTime;
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    if (i > 0 && services.clock.steady() >= limit) {
      run.remaining = static_cast<std::int64_t>(wanted.size() - i);
      break;
    }
    MEZ_TRY(const auto session, index_one(services, wanted[i]));
    ++run.indexed;
    run.commands += session.commands;
    if (session.state == IndexState::kEncrypted) ++run.encrypted;
    if (session.state == IndexState::kUnreadable) ++run.unreadable;
  }
  return run;
}

}  // namespace mezite::auth
