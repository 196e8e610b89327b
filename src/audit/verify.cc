#include "audit/verify.hh"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <limits>
#include <optional>

#include "base/text.hh"
#include "store/collect.hh"

namespace mezite::audit {

namespace {

constexpr std::int64_t kPageRows = 512;

struct Row {
  std::int64_t sequence = 0;
  std::string id, event_type;
  std::int64_t timestamp = 0;
  std::string user_name, session_id, json, key_id;
  Bytes prev_hmac, hmac;
};

Result<std::vector<Row>> load_page(store::Database& database, std::int64_t from, std::int64_t rows_wanted) {
  MEZ_TRY(auto reader, database.snapshot());
  MEZ_TRY(
      auto rows,
      reader.query("SELECT sequence, id, event_type, timestamp, user_name, session_id, json, key_id, prev_hmac, hmac"
                   " FROM audit_events WHERE sequence >= ?1 ORDER BY sequence LIMIT ?2",
                   {from, rows_wanted}));
  return store::collect(std::move(rows), [](const store::Rows& row) {
    return Row{.sequence = row.integer(0),
               .id = row.text(1),
               .event_type = row.text(2),
               .timestamp = row.integer(3),
               .user_name = row.text(4),
               .session_id = row.text(5),
               .json = row.text(6),
               .key_id = row.text(7),
               .prev_hmac = row.bytes(8),
               .hmac = row.bytes(9)};
  });
}

// Where the text that begins at `at` (a quote) ends: behind its closing quote; npos when it does not.
std::size_t end_of_text(std::string_view json, std::size_t at) {
  for (++at; at < json.size(); ++at) {
    if (json[at] == '\\') {
      ++at;
    } else if (json[at] == '"') {
      return at + 1;
    }
  }
  return std::string_view::npos;
}

// The same of any value.
std::size_t end_of_value(std::string_view json, std::size_t at) {
  std::size_t depth = 0;
  while (at < json.size()) {
    char c = json[at];
    if (c == '"') {
      at = end_of_text(json, at);
      if (at == std::string_view::npos || depth == 0) return at;
      continue;
    }
    if (depth == 0 && (c == ',' || c == '}')) return at;
    if (c == '{' || c == '[') ++depth;
    if (c == '}' || c == ']') {
      ++at;
      if (--depth == 0) return at;
      continue;
    }
    ++at;
  }
  return std::string_view::npos;
}

// The columns that searches go by must say what the event says. Of canonical JSON, whose hash is right, only the
// members at the top are looked at, as they stand: a parser would cost more than all else that is verified.
bool columns_agree(const Row& row) {
  const std::string timestamp = to_rfc3339(from_unix_millis(row.timestamp));
  struct Column {
    std::string_view key;
    const std::string* value;
    bool agrees = false;
  };
  std::array columns{Column{"\"id\"", &row.id}, Column{"\"event_type\"", &row.event_type},
                     Column{"\"user_name\"", &row.user_name}, Column{"\"session_id\"", &row.session_id},
                     Column{"\"timestamp\"", &timestamp}};
  std::string_view json = row.json;
  if (!json.starts_with('{')) return false;
  std::size_t at = 1;
  while (at < json.size() && json[at] == '"') {
    std::size_t key_end = end_of_text(json, at);
    if (key_end == std::string_view::npos || key_end >= json.size() || json[key_end] != ':') return false;
    std::string_view key = json.substr(at, key_end - at);
    std::size_t value_end = end_of_value(json, key_end + 1);
    if (value_end == std::string_view::npos || value_end >= json.size()) return false;
    std::string_view value = json.substr(key_end + 1, value_end - key_end - 1);
    for (Column& column : columns) {
      if (column.key == key) column.agrees = value == json_quote(*column.value);
    }
    if (json[value_end] == '}') break;
    at = value_end + 1;
  }
  return std::ranges::all_of(columns, &Column::agrees);
}

class Walk {
 public:
  Walk(store::Database& database, const ChainKeys& keys) : database_(database), keys_(keys) {
    report_.keyed = keys.keyed();
  }

  // False at the first bad row. next: the one behind it, when there is one.
  Result<bool> take(const Row& row, const Row* next) {
    if (row.sequence > expected_) {
      bad(expected_, "", "deleted",
          row.sequence == expected_ + 1
              ? fmt::format("event {} is missing: it was deleted", expected_)
              : fmt::format("events {} to {} are missing: they were deleted", expected_, row.sequence - 1));
      return false;
    }
    if (row.sequence < expected_) return bad(row, "inserted", "was inserted: the log starts at 1");
    if (!keys_.knows(row.key_id)) {
      return bad(row, "unknown key",
                 fmt::format("was written with the key {}, which is not configured: add it to "
                             "audit.previous_hmac_keys",
                             printable(row.key_id.substr(0, 16))));
    }
    bool linked = equal_constant_time(row.prev_hmac, previous_);
    bool genuine = equal_constant_time(keys_.link(row.key_id, previous_, row.json), row.hmac);
    if (!linked || !genuine) {
      MEZ_TRY(Diagnosis found, diagnose(row, next));
      return bad(row, found.damage, found.what);
    }
    bool keyed = row.key_id != kNoKeyId;
    // Whoever has no key can still make a plain chain. Only the start of the log may be one.
    if (!keyed && seen_keyed_ && keys_.keyed()) {
      return bad(row, "forged",
                 "is not protected by a key although events before it are: it was forged, or written while "
                 "audit.hmac_key was not set");
    }
    if (!columns_agree(row))
      return bad(row, "edited", "was edited: the columns it is found by differ from what it says");
    seen_keyed_ |= keyed;
    if (!keyed) ++report_.unkeyed;
    std::ranges::copy(row.hmac, previous_.begin());
    ++expected_;
    ++report_.verified;
    return true;
  }

  void bad(std::int64_t sequence, std::string id, std::string_view damage, std::string problem) {
    report_.ok = false;
    report_.damage = damage;
    report_.first_bad_sequence = sequence;
    report_.first_bad_id = std::move(id);
    report_.problem = std::move(problem);
  }

  std::int64_t expected() const { return expected_; }
  const ChainHash& previous() const { return previous_; }
  VerifyReport report() { return std::move(report_); }

 private:
  struct Diagnosis {
    std::string_view damage;
    std::string what;
  };

  bool bad(const Row& row, std::string_view damage, std::string_view what) {
    bad(row.sequence, printable(row.id.substr(0, 64)), damage, fmt::format("event {} {}", row.sequence, what));
    return false;
  }

  bool is_genuine_somewhere(const Row& row) const {
    ChainHash previous{};
    if (row.prev_hmac.size() != previous.size() || !keys_.knows(row.key_id)) return false;
    std::ranges::copy(row.prev_hmac, previous.begin());
    return equal_constant_time(keys_.link(row.key_id, previous, row.json), row.hmac);
  }

  // The row does not fit behind the one before it. Says how that came about as far as the rows around it tell.
  Result<Diagnosis> diagnose(const Row& row, const Row* next) const {
    bool next_skips_it = next != nullptr && equal_constant_time(next->prev_hmac, previous_);
    if (!is_genuine_somewhere(row)) {
      if (next_skips_it) return Diagnosis{"inserted", "was inserted: the one behind it follows on the one before it"};
      if (next != nullptr && equal_constant_time(next->prev_hmac, row.hmac)) return Diagnosis{"edited", "was edited"};
      return Diagnosis{"edited", "was edited or replaced"};
    }
    MEZ_TRY(auto reader, database_.snapshot());
    MEZ_TRY(
        std::int64_t original,
        reader.query_integer("SELECT sequence FROM audit_events WHERE hmac = ?1 AND sequence <> ?2 ORDER BY sequence",
                             {row.hmac, row.sequence}));
    if (original != 0) return Diagnosis{"duplicated", fmt::format("is a duplicate of event {}", original)};
    if (next_skips_it && is_genuine_somewhere(*next)) {
      return Diagnosis{"swapped", fmt::format("was swapped with event {}", next->sequence)};
    }
    MEZ_TRY(std::int64_t predecessor,
            reader.query_integer("SELECT sequence FROM audit_events WHERE hmac = ?1", {row.prev_hmac}));
    if (predecessor != 0) {
      return Diagnosis{"moved", fmt::format("was moved: it belongs behind what is now event {}", predecessor)};
    }
    return Diagnosis{"deleted", "does not follow on the one before it: events between them were deleted"};
  }

  store::Database& database_;
  const ChainKeys& keys_;
  VerifyReport report_;
  std::int64_t expected_ = 1;
  ChainHash previous_{};
  bool seen_keyed_ = false;
};

}  // namespace

Result<VerifyReport> verify_chain(store::Database& database, const ChainKeys& keys, const Checkpoint& written,
                                  const std::function<bool(std::int64_t done, std::int64_t of)>& progress) {
  Walk walk(database, keys);
  std::optional<Checkpoint> head;
  std::int64_t last_row = 0;
  {
    MEZ_TRY(auto reader, database.snapshot());
    MEZ_TRY(head, load_checkpoint(reader));
    MEZ_TRY(last_row, reader.query_integer("SELECT max(sequence) FROM audit_events"));
  }
  // What is there now; what is appended meanwhile is for the next time.
  std::int64_t from = std::numeric_limits<std::int64_t>::min();
  std::vector<Row> page;
  MEZ_TRY(page, load_page(database, from, kPageRows));
  while (!page.empty()) {
    std::vector<Row> following;
    bool full = std::ssize(page) == kPageRows;
    if (full) {
      MEZ_TRY(following, load_page(database, page.back().sequence + 1, kPageRows));
    }
    for (std::size_t i = 0; i < page.size(); ++i) {
      if (page[i].sequence > last_row) {
        following.clear();
        break;
      }
      const Row* next = i + 1 < page.size() ? &page[i + 1] : following.empty() ? nullptr : &following[0];
      MEZ_TRY(bool good, walk.take(page[i], next));
      if (!good) return walk.report();
    }
    if (progress && !progress(walk.expected() - 1, std::max(last_row, walk.expected() - 1))) {
      return fail(ErrorCode::kUnavailable, "the verification was stopped after {} events", walk.expected() - 1);
    }
    page = std::move(following);
  }

  std::int64_t ends_at = walk.expected() - 1;
  if (ends_at < written.sequence) {
    walk.bad(
        ends_at + 1, "", "truncated",
        fmt::format("the log ends at event {}, but {} were written: its end was cut off, or the database was rolled "
                    "back to an older state",
                    ends_at, written.sequence));
  } else if (!head && ends_at > 0) {
    walk.bad(ends_at, "", "deleted", "the checkpoint of the log (table audit_head) was deleted");
  } else if (head && !head->is_sealed(keys)) {
    walk.bad(
        ends_at, "", keys.knows(head->key_id) ? "edited" : "unknown key",
        keys.knows(head->key_id)
            ? "the checkpoint of the log (table audit_head) was changed"
            : fmt::format("the checkpoint of the log is sealed with the key {}, which is not configured: add it to "
                          "audit.previous_hmac_keys",
                          printable(head->key_id.substr(0, 16))));
  } else if (head && head->sequence > ends_at) {
    walk.bad(
        ends_at + 1, "", "truncated",
        fmt::format("the log ends at event {}, but {} were written: its end was cut off", ends_at, head->sequence));
  } else if (head && head->sequence < ends_at) {
    walk.bad(
        head->sequence + 1, "", "rolled back",
        fmt::format("events {} to {} are behind the checkpoint of the log: it was rolled back, or they were appended "
                    "by somebody else",
                    head->sequence + 1, ends_at));
  } else if (head && !equal_constant_time(head->hmac, walk.previous())) {
    walk.bad(ends_at, "", "edited",
             fmt::format("event {} is not the one that the checkpoint of the log names", ends_at));
  } else if (ends_at == written.sequence && !equal_constant_time(written.hmac, walk.previous())) {
    walk.bad(ends_at, "", "rolled back", fmt::format("event {} is not the one that this hub wrote", ends_at));
  }
  return walk.report();
}

}  // namespace mezite::audit
