// What users may see and do of recordings. Everyone sees those of their own sessions; a rule on "recordings" shows all.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "auth/caller.hh"
#include "auth/services.hh"

namespace mezite::auth {

inline constexpr std::size_t kMaxPartBytes = std::size_t{1} << 20;
inline constexpr std::size_t kMaxListedRecordings = 1000;

// Of a request, in milliseconds since 1970; 0: none.
inline std::optional<SystemTime> optional_time(std::int64_t unix_ms) {
  return unix_ms > 0 ? std::optional(from_unix_millis(unix_ms)) : std::nullopt;
}

struct RecordingFilter {
  std::string user, node;                  // empty: all
  std::optional<SystemTime> since, until;  // of the session's beginning
  std::size_t limit = kMaxListedRecordings;
};
// Newest first. Asking for somebody else's without the right to list is refused and audited.
Result<std::vector<recording::StoredRecording>> list_recordings(Services& services, const Caller& caller,
                                                                const RecordingFilter& filter);

// The caller's own, or with the right to read recordings. One that may not be seen is answered like one that is not
// there, with the refusal audited.
Result<recording::StoredRecording> get_recording(Services& services, const Caller& caller, std::string_view session_id);
// As get_recording(). Reading from the beginning is audited as session.recording.accessed.
Result<recording::ReadChunk> read_recording(Services& services, const Caller& caller, std::string_view session_id,
                                            std::uint64_t offset, std::size_t max_bytes);
// With what the tags of one that the caller may read are verified. Empty when the hub can't open it: then
// get_recording() tells of a problem, or the hub's key is not the one that the recording was made for.
Secret chain_key_of(const Services& services, const recording::Header& header);
Status delete_recording(Services& services, const Caller& caller, std::string_view session_id);

}  // namespace mezite::auth
