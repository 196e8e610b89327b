// The audit log.
#include <fmt/format.h>
#include <poll.h>
#include <unistd.h>

#include <nlohmann/json.hpp>
#include <span>

#include "base/file.hh"
#include "base/text.hh"
#include "client/admin_json.hh"
#include "client/instant.hh"
#include "cmd/mezctl/commands.hh"
#include "mezite/v1/admin.pb.h"

namespace mezite::mezctl {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::chrono::minutes kVerifyTimeout{30};
constexpr int kMaxPage = 1000;
constexpr int kMaxLimit = 1'000'000;
constexpr std::size_t kMaxCheckpoints = 5000;  // sent to be compared: the newest of a file
constexpr int kFollowIntervalMs = 1000;

Result<v1::ListAuditEventsRequest> request_of(const AuditFlags& flags, SystemTime now) {
  v1::ListAuditEventsRequest request;
  request.set_type(flags.type);
  request.set_user(flags.user);
  request.set_session_id(flags.session);
  MEZ_TRY(const std::int64_t since, client::parse_instant("--since", flags.since, now));
  MEZ_TRY(const std::int64_t until, client::parse_instant("--until", flags.until, now));
  request.set_since_ms(since);
  request.set_until_ms(until);
  if (flags.limit < 1 || flags.limit > kMaxLimit) {
    return fail(ErrorCode::kInvalidArgument, "--limit: {} is not from 1 to {}; --since and --until reach older events",
                flags.limit, kMaxLimit);
  }
  request.set_limit(std::min(flags.limit, kMaxPage));
  request.set_text(flags.text);
  return request;
}

std::string text_of(const Json& event, const char* key) {
  const auto found = event.find(key);
  return found != event.end() && found->is_string() ? found->get<std::string>() : std::string();
}

// What is particular to the event: its error and its details, on one line.
std::string rest_of(const Json& event) {
  std::string rest = text_of(event, "error_message");
  const auto details = event.find("details");
  if (details == event.end() || details->empty()) return rest;
  const auto add = [&](const std::string& piece) { rest += (rest.empty() ? "" : "  ") + piece; };
  if (details->is_object()) {
    for (const auto& [key, value] : details->items()) {
      add(key + "=" +
          (value.is_string() ? value.get<std::string>() : value.dump(-1, ' ', false, Json::error_handler_t::replace)));
    }
  } else {
    add(details->is_string() ? details->get<std::string>() : details->dump());
  }
  return rest;
}

std::vector<std::string> row_of(const Json& event) {
  std::string time = text_of(event, "timestamp");
  if (time.size() > 19) time = time.substr(0, 10) + " " + time.substr(11, 8);
  const bool failed = event.value("success", Json(true)) == Json(false);
  std::string resource = text_of(event, "resource_name");
  if (resource.empty()) resource = text_of(event, "server_hostname");
  return {time,
          text_of(event, "event_code"),
          text_of(event, "event_type"),
          text_of(event, "user_name"),
          resource,
          failed ? "failed" : "ok",
          rest_of(event)};
}

Json parse(const v1::AuditEvent& event) {
  Json json = Json::parse(event.json(), nullptr, false);
  if (json.is_object()) return json;
  return Json{{"sequence", event.sequence()}, {"unreadable", event.json()}};
}

}  // namespace

Status audit_list(Context& context, const AuditFlags& flags) {
  MEZ_TRY(auto request, request_of(flags, context.now()));
  const bool text = context.format() == Format::kText;
  Json events = Json::array();
  client::Table table({"TIME (UTC)", "CODE", "TYPE", "USER", "RESOURCE", "RESULT", "DETAILS"});
  int left = flags.limit;
  bool more = true;
  while (more && left > 0) {
    request.set_limit(std::min(left, kMaxPage));
    MEZ_TRY(const auto response, context.ask<v1::ListAuditEventsResponse>("ListAuditEvents", request));
    for (const v1::AuditEvent& event : response.events()) {
      if (text) {
        table.add(row_of(parse(event)));
      } else {
        events.push_back(parse(event));
      }
      request.set_before_ms(event.timestamp_ms());
      request.set_before_sequence(event.sequence());
    }
    left -= response.events_size();
    more = response.events_size() == request.limit();
  }
  if (!text) return context.print_json(events);
  if (more) {
    say(fmt::format("the newest {}; there may be more: --limit, --since and --until choose others", flags.limit));
  }
  return context.print(table.text(context.colour()));
}

Status audit_verify(Context& context, const CheckpointFlags& flags) {
  v1::VerifyAuditRequest request;
  if (!flags.file.empty()) {
    MEZ_TRY(const Bytes content, read_file(flags.file));
    std::vector<std::string_view> lines;
    for (const std::string_view line : split(as_text(content), '\n')) {
      if (!trim(line).empty()) lines.push_back(trim(line));
    }
    if (lines.empty()) return fail(ErrorCode::kInvalidArgument, "{} holds no checkpoint", flags.file);
    const std::size_t skipped = lines.size() - std::min(lines.size(), kMaxCheckpoints);
    for (const std::string_view line : std::span(lines).subspan(skipped)) request.add_checkpoints(std::string(line));
  }
  MEZ_TRY(const auto response, context.ask<v1::VerifyAuditResponse>("VerifyAudit", request, kVerifyTimeout));
  if (context.format() != Format::kText) {
    MEZ_CHECK(context.print_json(client::message_to_json(response)));
  } else if (response.ok()) {
    MEZ_CHECK(context.print(fmt::format(
        "ok: the chain of {} events is intact{}{}\n", response.verified(),
        flags.file.empty() ? "" : fmt::format(" and agrees with {} checkpoints", response.checkpoints()),
        response.keyed() ? ""
                         : "; without audit.hmac_key it shows accidents, not somebody who can write the database")));
  }
  if (response.ok()) return {};
  return fail(ErrorCode::kCorrupt, "the audit chain breaks at event {} ({}), {}: {}; {} events before it are intact",
              response.first_bad_sequence(),
              response.first_bad_id().empty() ? "no id" : printable(response.first_bad_id()),
              printable(response.damage()), printable(response.problem()), response.verified());
}

Status audit_export_checkpoints(Context& context, const CheckpointFlags& flags) {
  MEZ_TRY(const auto response, context.ask<v1::ExportAuditCheckpointsResponse>("ExportAuditCheckpoints",
                                                                               v1::ExportAuditCheckpointsRequest()));
  std::string text;
  for (const std::string& line : response.lines()) text += line + "\n";
  if (flags.file.empty()) return context.print(text);
  MEZ_CHECK(write_file(flags.file, as_bytes(text), 0644));
  say(fmt::format("{} checkpoints in {}: keep it on another machine", response.lines_size(), flags.file));
  return {};
}

Status audit_sinks(Context& context) {
  MEZ_TRY(const auto response, context.ask<v1::ListAuditSinksResponse>("ListAuditSinks", v1::ListAuditSinksRequest()));
  if (context.format() != Format::kText) {
    Json sinks = client::message_to_json(response)["sinks"];
    for (int i = 0; i < response.sinks_size(); ++i) {
      Json& sink = sinks[static_cast<std::size_t>(i)];
      sink.erase("lag");  // a duration, where other fields of that ending are instants
      sink["lag_ms"] = response.sinks(i).lag_ms();
    }
    return context.print_json(sinks);
  }
  client::Table table({"NAME", "TARGET", "DELIVERED", "WAITING", "LAG", "LAST DELIVERY", "ERROR"});
  for (const v1::AuditSink& sink : response.sinks()) {
    table.add({sink.name(), sink.target(), std::to_string(sink.delivered_sequence()),
               std::to_string(sink.last_sequence() - sink.delivered_sequence()),
               format_duration(std::chrono::milliseconds(sink.lag_ms() / 1000 * 1000)),
               sink.delivered_at_ms() == 0 ? "–" : client::shown_time(sink.delivered_at_ms(), context.now()),
               sink.last_error()});
  }
  if (response.sinks().empty()) say("no sink is configured: audit.sink.* in docs/configuration.md");
  return context.print(table.text(context.colour()));
}

Status audit_follow(Context& context, const AuditFlags& flags) {
  AuditFlags all = flags;
  all.limit = kMaxPage;
  MEZ_TRY(auto request, request_of(all, context.now()));
  // From the youngest event of any kind on.
  v1::ListAuditEventsRequest youngest;
  youngest.set_limit(1);
  MEZ_TRY(const auto first, context.ask<v1::ListAuditEventsResponse>("ListAuditEvents", youngest));
  std::int64_t after = first.events().empty() ? 0 : first.events(0).sequence();
  for (;;) {
    request.set_after_sequence(after);
    MEZ_TRY(const auto response, context.ask<v1::ListAuditEventsResponse>("ListAuditEvents", request));
    std::vector<v1::AuditEvent> events(response.events().begin(), response.events().end());
    std::ranges::sort(events, {}, &v1::AuditEvent::sequence);
    for (const v1::AuditEvent& event : events) {
      after = std::max(after, event.sequence());
      if (context.format() == Format::kText) {
        const auto row = row_of(parse(event));
        MEZ_CHECK(context.print(printable(join(row, "  ")) + "\n"));
      } else if (context.format() == Format::kJson) {
        MEZ_CHECK(context.print(parse(event).dump(-1, ' ', false, Json::error_handler_t::replace) + "\n"));
      } else {
        MEZ_CHECK(context.print("---\n"));
        MEZ_CHECK(context.print_json(parse(event)));
      }
    }
    // Until the next look, or until who reads has gone.
    pollfd reader{.fd = STDOUT_FILENO, .events = 0, .revents = 0};
    if (events.size() < static_cast<std::size_t>(kMaxPage) && ::poll(&reader, 1, kFollowIntervalMs) > 0) return {};
  }
}

}  // namespace mezite::mezctl
