#include "audit/catalogue.hh"

#include <algorithm>

namespace mezite::audit {

namespace {

constexpr std::string_view kIntroduction = R"(# Audit events

Every event has a type and a code. Several codes share a type where a search by type should find them all
(`mezctl audit ls --type=access.denied`); a code means one thing. The letter at its end is I for information, W for what was
refused or deserves a look, E for a failure. `mezctl audit ls --type='session.*'` takes a prefix.

This file is made from the table in `src/audit/catalogue.hh`; a test fails when they differ.

## Shape

One JSON object with these keys, always all of them, sorted, without white space: `client_ip`, `cluster_name`, `details`
(an object), `error_message`, `event_code`, `event_type`, `id` (UUID), `impersonator`, `resource_labels` (an object),
`resource_name`, `resource_type`, `server_hostname`, `server_id`, `session_id`, `success`, `timestamp` (RFC 3339, UTC,
milliseconds), `user_name`, `user_roles` (an array). Stored events also show `hmac`, `hmac_key_id` and `prev_hmac`.

## Chain

    hmac = HMAC-SHA-256(key, prev_hmac ‖ the object without hmac, hmac_key_id and prev_hmac)

`prev_hmac` is the `hmac` of the event before, 32 zero bytes for the first. `hmac_key_id` is the start of the SHA-256 of
`audit.hmac_key`; `none` means that no key was set and the chain is plain SHA-256. A sealed checkpoint with the number and the
hash of the newest event shows a cut tail; a copy of it beside the database (`audit.head`) shows that an older copy of the
database was put in place. `mezctl audit verify` checks all of it and names the first bad event.

## Types and codes

| type | code | name | meaning |
|---|---|---|---|
)";

}  // namespace

const EventInfo* find_code(std::string_view code) {
  const auto* found = std::ranges::find(kCatalogue, code, &EventInfo::code);
  return found == kCatalogue.end() ? nullptr : found;
}

bool is_known_type(std::string_view type) {
  return std::ranges::find(kCatalogue, type, &EventInfo::type) != kCatalogue.end();
}

std::string catalogue_markdown() {
  std::string out(kIntroduction);
  for (const EventInfo& event : kCatalogue) {
    for (std::string_view part :
         {std::string_view("| `"), event.type, std::string_view("` | `"), event.code, std::string_view("` | "),
          event.name, std::string_view(" | "), event.description, std::string_view(" |\n")}) {
      out += part;
    }
  }
  return out;
}

}  // namespace mezite::audit
