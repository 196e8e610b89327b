#include "audit/catalogue.hh"

#include <algorithm>

namespace mezite::audit {

namespace {

constexpr std::string_view kIntroduction = R"(# Audit events

Every event has a type and a code. Several codes share a type where a search by type should find them all
(`mezctl audit ls --type=access.denied`); a code means one thing. The letter at its end is I for information, W for what was
refused or deserves a look, E for a failure. `mezctl audit ls --type='session.*'` takes a prefix.

This file is made from the tables in `src/audit/catalogue.hh` and `src/audit/catalogue_fields.cc`; a test fails when they differ.

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

## Checkpoints

An `audit.checkpoint` event holds, in `details`, number (`sequence`) and `hmac` of the event before it and an Ed25519 `signature` over
the lines `mezite audit checkpoint 1`, cluster name, `sequence`, `hmac` and `time`, each ended by a line feed. The signing key is
made from `audit.hmac_key`, so nobody without that can sign; `public_key` (hexadecimal) checks it. `mezctl audit checkpoints export`
writes one and prints all of them, one JSON object a line, to be kept on another machine; `mezctl audit verify --checkpoints=FILE`
compares the log with them, which shows a log that was cut or put back to an older state together with everything beside it.

## Types and codes

`details` may have the keys of the last column, each where it applies.

| type | code | name | when | details |
|---|---|---|---|---|
)";

std::string replaced(std::string_view text, std::string_view what, std::string_view with) {
  std::string out;
  while (true) {
    std::size_t at = text.find(what);
    out += text.substr(0, at);
    if (at == std::string_view::npos) return out;
    out += with;
    text.remove_prefix(at + what.size());
  }
}

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
          event.name, std::string_view(" | "), event.description, std::string_view(" | ")}) {
      out += part;
    }
    const char* details = details_of(event.type);
    out += (details == nullptr || *details == '\0' ? std::string("–") : '`' + replaced(details, ", ", "`, `") + '`') +
           " |\n";
  }
  return out;
}

}  // namespace mezite::audit
