#include "audit/signed_checkpoint.hh"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/text.hh"

namespace mezite::audit {

namespace {

constexpr std::size_t kMaxLineBytes = 4096;

std::string message_of(const SignedCheckpoint& checkpoint) {
  return fmt::format("mezite audit checkpoint 1\n{}\n{}\n{}\n{}\n", checkpoint.cluster_name, checkpoint.sequence,
                     to_hex(checkpoint.hmac), checkpoint.time);
}

std::unexpected<Error> no_checkpoint(std::string_view what) {
  return fail(ErrorCode::kInvalidArgument, "not a checkpoint of an audit log: {}", what);
}

}  // namespace

std::string signed_checkpoint(const ChainKeys& keys, const SignedCheckpoint& checkpoint) {
  std::string public_key, signature;
  if (auto key = keys.signing_key(checkpoint.key_id)) {
    public_key = to_hex(key->public_key().raw());
    auto made = key->sign(crypto::SignatureHash::kNone, as_bytes(message_of(checkpoint)));
    if (made) signature = to_hex(*made);
  }
  return Details()
      .add("cluster_name", checkpoint.cluster_name)
      .add("sequence", checkpoint.sequence)
      .add("hmac", to_hex(checkpoint.hmac))
      .add("time", checkpoint.time)
      .add("key_id", checkpoint.key_id)
      .add("public_key", public_key)
      .add("signature", signature)
      .text();
}

Result<SignedCheckpoint> read_signed_checkpoint(const ChainKeys& keys, std::string_view line) {
  if (line.size() > kMaxLineBytes || line.find("[[") != std::string_view::npos) return no_checkpoint("too long");
  auto json = nlohmann::json::parse(line, nullptr, false);
  if (!json.is_object()) return no_checkpoint("no JSON object");
  auto text = [&](const char* key) {
    auto found = json.find(key);
    return found != json.end() && found->is_string() ? found->get<std::string>() : std::string();
  };
  SignedCheckpoint checkpoint{.cluster_name = text("cluster_name"), .time = text("time"), .key_id = text("key_id")};
  auto sequence = json.find("sequence");
  if (sequence == json.end() || !sequence->is_number_integer()) return no_checkpoint("no sequence");
  checkpoint.sequence = sequence->get<std::int64_t>();
  auto hmac = from_hex(text("hmac"));
  if (!hmac || hmac->size() != checkpoint.hmac.size()) return no_checkpoint("no hmac");
  std::ranges::copy(*hmac, checkpoint.hmac.begin());
  if (checkpoint.key_id == kNoKeyId) return checkpoint;
  if (!keys.knows(checkpoint.key_id)) {
    return fail(ErrorCode::kNotFound,
                "a checkpoint is signed with the key {}, which is not configured: add it to audit.previous_hmac_keys",
                printable(checkpoint.key_id.substr(0, 16)));
  }
  MEZ_TRY(auto key, keys.signing_key(checkpoint.key_id));
  auto signature = from_hex(text("signature"));
  if (!signature) return no_checkpoint("no signature");
  MEZ_CHECK(
      key.public_key().verify(crypto::SignatureHash::kNone, as_bytes(message_of(checkpoint)), BytesView(*signature)));
  return checkpoint;
}

Status compare_checkpoints(store::Database& database, const ChainKeys& keys, std::string_view cluster_name,
                           std::span<const std::string> lines, VerifyReport& report) {
  for (const std::string& line : lines) {
    auto read = read_signed_checkpoint(keys, line);
    if (!read) return wrap(read.error(), fmt::format("checkpoint '{}'", printable(line.substr(0, 80))));
    if (read->cluster_name != cluster_name) {
      return fail(ErrorCode::kInvalidArgument, "a checkpoint is of the cluster {}, this is {}",
                  printable(read->cluster_name), cluster_name);
    }
    MEZ_TRY(auto reader, database.snapshot());
    MEZ_TRY(auto rows, reader.query("SELECT hmac, id FROM audit_events WHERE sequence = ?1", {read->sequence}));
    MEZ_TRY(bool found, rows.next());
    if (found && equal_constant_time(rows.bytes(0), read->hmac)) {
      ++report.checkpoints;
      continue;
    }
    report.ok = false;
    report.first_bad_sequence = found ? read->sequence : report.verified + 1;
    report.first_bad_id = found ? printable(rows.text(1).substr(0, 64)) : "";
    report.damage = "rolled back";
    report.problem =
        found ? fmt::format(
                    "event {} is not the one that the checkpoint of {} names: the log was put back to an older "
                    "state at or before it, and continued",
                    read->sequence, printable(read->time))
              : fmt::format(
                    "the log ends at event {}, but the checkpoint of {} names event {}: its end was cut off, or "
                    "it was put back to an older state together with audit.head",
                    report.verified, printable(read->time), read->sequence);
    return {};
  }
  return {};
}

}  // namespace mezite::audit
