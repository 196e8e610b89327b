// Finding what was run and what was shown.
#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/text.hh"
#include "client/instant.hh"
#include "client/playback.hh"
#include "cmd/mezctl/commands.hh"
#include "cmd/mezctl/recording_source.hh"
#include "mezite/v1/admin.pb.h"
#include "recording/find_text.hh"

namespace mezite::mezctl {
namespace {

constexpr int kMaxPage = 1000;
constexpr std::size_t kShownBytes = 120;

std::string shortened(std::string_view text) {
  if (text.size() <= kShownBytes) return std::string(text);
  std::size_t end = kShownBytes - 3;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xc0) == 0x80) --end;
  return std::string(text.substr(0, end)) + "...";
}

Status search_one(Context& context, const std::string& id, const std::string& text, const RecordingSearchFlags& flags) {
  auto reader = client::names_file(id) ? client::open_recording_file(id, flags.identity)
                                       : open_recording(context, id, flags.identity);
  if (!reader) return std::unexpected(reader.error());
  nlohmann::ordered_json found = nlohmann::ordered_json::array();
  client::Table table({"OFFSET", "LINE"});
  int count = 0;
  const Status searched =
      recording::find_text(*reader, text, [&](std::chrono::milliseconds at, std::string_view line) -> bool {
        if (context.format() == Format::kText) {
          table.add({client::offset_text(at), shortened(line)});
        } else {
          found.push_back({{"session_id", reader->header().session_id}, {"offset_ms", at.count()}, {"line", line}});
        }
        return ++count < flags.limit;
      });
  if (context.format() != Format::kText) {
    MEZ_CHECK(context.print_json(found));
  } else if (!table.empty()) {
    MEZ_CHECK(context.print(table.text(context.colour())));
  }
  MEZ_CHECK(searched);
  if (count == 0) say("nothing like that was shown in this session");
  return {};
}

nlohmann::ordered_json to_json(const v1::RecordedCommand& command) {
  return {{"time", to_rfc3339(from_unix_millis(command.time_ms()))},
          {"user", command.user()},
          {"login", command.login()},
          {"node", command.node()},
          {"session_id", command.session_id()},
          {"kind", command.kind()},
          {"offset_ms", command.offset_ms()},
          {"command", command.command()},
          {"number", command.number()}};
}

void tell_what_is_missing(const v1::SearchRecordingsResponse& response) {
  const auto tell = [](std::int64_t count, std::string_view what) {
    if (count > 0) say(fmt::format("{} {} {}", count, count == 1 ? "recording" : "recordings", what));
  };
  tell(response.encrypted(),
       "could not be searched: encrypted to keys that the hub has not; 'recordings search SESSION TEXT --identity=FILE'"
       " searches one");
  tell(response.unreadable(), "could not be searched to the end: damaged");
  tell(response.not_indexed(), "not searched: not in the index yet; 'mezctl recordings index' puts them there");
}

}  // namespace

Status recordings_search(Context& context, const RecordingSearchFlags& flags) {
  if (flags.words.back().empty()) return fail(ErrorCode::kInvalidArgument, "there is no text to search for");
  if (flags.words.size() == 2) return search_one(context, flags.words[0], flags.words[1], flags);
  v1::SearchRecordingsRequest request;
  request.set_text(flags.words[0]);
  request.set_session_id(flags.session);
  request.set_user(flags.user);
  request.set_node(flags.node);
  MEZ_TRY(const std::int64_t since, client::parse_instant("--since", flags.since, context.now()));
  MEZ_TRY(const std::int64_t until, client::parse_instant("--until", flags.until, context.now()));
  request.set_since_ms(since);
  request.set_until_ms(until);
  v1::SearchRecordingsResponse all;
  for (;;) {
    request.set_limit(std::min(kMaxPage, flags.limit - all.commands_size()));
    MEZ_TRY(auto page, context.ask<v1::SearchRecordingsResponse>("SearchRecordings", request));
    const bool last = page.commands_size() < request.limit();
    if (request.before_ms() == 0) {
      all.set_encrypted(page.encrypted());
      all.set_unreadable(page.unreadable());
      all.set_not_indexed(page.not_indexed());
    }
    for (auto& command : *page.mutable_commands()) *all.add_commands() = std::move(command);
    if (last || all.commands_size() >= flags.limit) break;
    request.set_before_ms(all.commands().rbegin()->time_ms());
    request.set_before_number(all.commands().rbegin()->number());
  }
  tell_what_is_missing(all);
  if (context.format() != Format::kText) {
    auto json = nlohmann::ordered_json::array();
    for (const v1::RecordedCommand& command : all.commands()) json.push_back(to_json(command));
    return context.print_json(json);
  }
  if (all.commands().empty()) {
    say("no command like that");
    return {};
  }
  client::Table table({"TIME", "USER", "LOGIN", "NODE", "SESSION ID", "OFFSET", "COMMAND"});
  for (const v1::RecordedCommand& command : all.commands()) {
    table.add({to_rfc3339(from_unix_millis(command.time_ms())), command.user(), command.login(), command.node(),
               command.session_id(), client::offset_text(std::chrono::milliseconds(command.offset_ms())),
               shortened(command.command())});
  }
  return context.print(table.text(context.colour()));
}

Status recordings_index(Context& context, const std::string& id) {
  v1::IndexRecordingsRequest request;
  request.set_session_id(id);
  std::int64_t indexed = 0, commands = 0, encrypted = 0, unreadable = 0;
  for (;;) {
    MEZ_TRY(const auto run,
            context.ask<v1::IndexRecordingsResponse>("IndexRecordings", request, std::chrono::minutes(10)));
    indexed += run.indexed();
    commands += run.commands();
    encrypted += run.encrypted();
    unreadable += run.unreadable();
    if (run.remaining() == 0 || run.indexed() == 0) break;
    say(fmt::format("{} done, {} to go", indexed, run.remaining()));
  }
  return context.print(fmt::format("{} recordings indexed with {} commands; {} encrypted, {} damaged\n", indexed,
                                   commands, encrypted, unreadable));
}

}  // namespace mezite::mezctl
