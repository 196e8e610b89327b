// One audit event, and its JSON.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "audit/catalogue.hh"
#include "base/clock.hh"
#include "base/result.hh"

namespace mezite::audit {

// Text may be hostile (names that failed to log in): it is made safe where it is shown, not here.
struct Event {
  std::string id;  // UUID; the same event sent twice has the same id
  std::string event_type;
  std::string event_code;
  SystemTime timestamp;      // milliseconds count
  std::string cluster_name;  // AuditLog fills it in when empty
  std::string user_name;
  std::vector<std::string> user_roles;
  std::string resource_type;  // "node", "role", …
  std::string resource_name;
  std::map<std::string, std::string, std::less<>> resource_labels;
  std::string server_id;        // node id
  std::string server_hostname;  // node name
  std::string client_ip;
  std::string session_id;
  bool success = true;
  std::string error_message;
  std::string impersonator;
  std::string details = "{}";  // a JSON object; see Details below

  bool operator==(const Event&) const = default;
};

inline constexpr std::size_t kMaxEventJsonBytes = 64 * 1024;

// Type, code, a new id and the time; success is false for the kinds that tell of a refusal or a failure (code ends in W
// or E).
Event make_event(EventKind kind, const Clock& clock = system_clock());

// Canonical: every key, sorted, no white space, times as RFC 3339 with milliseconds, bytes that are not UTF-8 replaced.
// Without prev_hmac and hmac, which belong to the stored form. Details that are no JSON object go in as
// {"text": "…"}. An event that would be over kMaxEventJsonBytes has its details and long texts cut, and says so.
std::string to_canonical_json(const Event& event);

// The same, with the event as its JSON tells it: repaired, cut, the time in whole milliseconds.
struct CanonicalEvent {
  Event event;
  std::string json;
};
CanonicalEvent canonicalize(Event event);

// Hostile input: bounded in size and depth, only the keys above (those of the stored form are ignored), id a UUID, type
// and code a pair of the catalogue, each value of its type. kInvalidArgument names the key.
Result<Event> event_from_json(std::string_view json);

// Builds Event::details: Details().add("login", "root").add("exit_code", 3).text().
class Details {
 public:
  Details& add(std::string_view key, std::string_view value);
  Details& add(std::string_view key, const char* value) { return add(key, std::string_view(value)); }
  Details& add(std::string_view key, const std::string& value) { return add(key, std::string_view(value)); }
  Details& add(std::string_view key, std::int64_t value);
  Details& add(std::string_view key, int value) { return add(key, std::int64_t{value}); }
  Details& add(std::string_view key, bool value);
  Details& add(std::string_view key, const std::vector<std::string>& values);
  std::string text() const { return "{" + members_ + "}"; }

 private:
  std::string& key(std::string_view name);
  std::string members_;
};

}  // namespace mezite::audit
