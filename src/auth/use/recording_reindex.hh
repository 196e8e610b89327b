// Recordings that are there, on the hub's disk or in S3, while the list of them was lost.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "auth/caller.hh"
#include "auth/services.hh"

namespace mezite::auth {

struct ReindexedRecording {
  std::string session_id;
  std::string_view storage;  // "local", "s3"
  bool taken = false;
  bool vouched = false;  // the audit log has its hash, from when it came
  std::string reason;    // why it was not taken, or what is wrong with it
  std::optional<recording::StoredRecording> recording;
};
struct ReindexRun {
  std::vector<ReindexedRecording> recordings;
  std::int64_t known = 0;   // that were listed already
  std::int64_t others = 0;  // objects under the prefix that are no recordings by their names
  std::string next;         // where the next run goes on; empty: done
};
// Goes on for some seconds from `after`, which is the last run's `next`. What is listed already stays as it is, so it
// can be done again and while recordings come in. A recording of another cluster is not taken, nor one that was removed
// by the audit log; one whose hash is not the audit log's is taken with that as its problem. Each one taken is an audit
// event. A rule on "recordings" with "update".
Result<ReindexRun> reindex_recordings(Services& services, const Caller& caller, std::string_view after);

}  // namespace mezite::auth
