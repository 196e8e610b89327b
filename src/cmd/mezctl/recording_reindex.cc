// Taking recordings back into a list that was lost.
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "base/text.hh"
#include "client/admin_json.hh"
#include "cmd/mezctl/commands.hh"
#include "mezite/v1/admin.pb.h"

namespace mezite::mezctl {
namespace {

std::string result_of(const v1::ReindexedRecording& one) {
  if (!one.taken()) return "skipped: " + one.reason();
  if (!one.reason().empty()) return "taken, but " + one.reason();
  if (!one.complete()) return "taken; it has no end: the session was cut off, or its node sends the rest";
  return one.vouched() ? "taken" : "taken; the audit log does not know it";
}

}  // namespace

Status recordings_reindex(Context& context) {
  v1::ReindexRecordingsRequest request;
  v1::ReindexRecordingsResponse all;
  std::int64_t taken = 0;
  do {
    MEZ_TRY(auto run, context.ask<v1::ReindexRecordingsResponse>("ReindexRecordings", request, std::chrono::hours(1)));
    for (auto& one : *run.mutable_recordings()) {
      if (one.taken()) ++taken;
      *all.add_recordings() = std::move(one);
    }
    all.set_known(all.known() + run.known());
    all.set_others(all.others() + run.others());
    request.set_after(run.next());
    if (!run.next().empty() && all.recordings_size() > 0) {
      say(fmt::format("{} found so far, {} taken", all.recordings_size(), taken));
    }
  } while (!request.after().empty());
  const auto skipped = all.recordings_size() - taken;
  if (context.format() != Format::kText) {
    auto json = client::message_to_json(all);
    json.erase("next");
    json["taken"] = taken;
    json["skipped"] = skipped;
    return context.print_json(json);
  }
  client::Table table({"SESSION ID", "USER", "NODE", "BEGAN", "STORAGE", "RESULT"});
  for (const v1::ReindexedRecording& one : all.recordings()) {
    const bool read = one.started_at_ms() != 0;
    table.add({one.session_id(), one.user(), one.node(),
               read ? to_rfc3339(from_unix_millis(one.started_at_ms())) : std::string(), one.storage(),
               result_of(one)});
  }
  if (!table.empty()) MEZ_CHECK(context.print(table.text(context.colour())));
  return context.print(fmt::format("{} taken, {} skipped; {} listed before\n", taken, skipped, all.known()));
}

}  // namespace mezite::mezctl
