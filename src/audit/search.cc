#include "audit/search.hh"

#include <fmt/format.h>

#include <algorithm>

#include "base/text.hh"

namespace mezite::audit {

namespace {

constexpr std::size_t kMaxWordsBytes = 8192;  // of an event; what is behind them is not found by text
constexpr std::size_t kMaxTerms = 16;
constexpr std::size_t kMaxTextBytes = 1024;

// The key of audit_words: see its table.
constexpr int kSequenceBits = 20;
constexpr std::int64_t kSequenceMask = (std::int64_t{1} << kSequenceBits) - 1;
constexpr std::int64_t kMaxMillis = (std::int64_t{1} << (63 - kSequenceBits)) - 1;

std::int64_t first_key_at(std::int64_t millis) {
  return std::clamp<std::int64_t>(millis, 0, kMaxMillis) << kSequenceBits;
}
std::int64_t key_of(std::int64_t millis, std::int64_t sequence) {
  return first_key_at(millis) | (sequence & kSequenceMask);
}

// A term as a phrase of the index: its words next to each other, "web-01" as web then 01.
Status add_phrase(std::string& match, std::string_view term) {
  bool beginning = term.size() > 1 && term.ends_with('*');
  if (beginning) term.remove_suffix(1);
  bool has_word = std::ranges::any_of(term, [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           static_cast<unsigned char>(c) >= 0x80;
  });
  if (!has_word) {
    return fail(ErrorCode::kInvalidArgument, "'{}' has no letter or digit to search for", printable(term));
  }
  if (!match.empty()) match += " AND ";
  match += '"';
  for (char c : term) {
    if (c == '"') match += '"';
    match += c == '\0' ? ' ' : c;
  }
  match += beginning ? "\" *" : "\"";
  return {};
}

Result<std::string> match_of(const Filter& filter) {
  if (filter.text.size() > kMaxTextBytes || !is_valid_utf8(filter.text)) {
    return fail(ErrorCode::kInvalidArgument, "the text to search for is not UTF-8 of at most {} bytes", kMaxTextBytes);
  }
  std::string match;
  std::size_t terms = 0;
  for (std::string_view term : split(filter.text, ' ')) {
    if (term.empty()) continue;
    if (++terms > kMaxTerms) return fail(ErrorCode::kInvalidArgument, "at most {} words to search for", kMaxTerms);
    MEZ_CHECK(add_phrase(match, term));
  }
  if (terms == 0) return fail(ErrorCode::kInvalidArgument, "there is no word to search for");
  // These words are in the index as well: who is rare narrows what is frequent.
  for (const std::string* also : {&filter.user, &filter.type}) {
    if (also->empty() || also->ends_with('*') || !is_valid_utf8(*also)) continue;
    std::string narrowed = match;
    if (add_phrase(narrowed, *also)) match = std::move(narrowed);
  }
  return match;
}

// The statement under way, and its values: texts that it owns, as parameters only view them.
struct Statement {
  std::string sql;
  std::vector<store::Parameter> parameters;

  Statement& bind(std::string_view before, store::Parameter value, std::string_view after = "") {
    parameters.push_back(value);
    sql += fmt::format("{}?{}{}", before, parameters.size(), after);
    return *this;
  }
};

constexpr std::string_view kColumns = "e.sequence, e.timestamp, e.json, e.hmac, e.key_id, e.prev_hmac";

void add_time(Statement& out, const Filter& filter) {
  if (filter.since) out.bind(" AND e.timestamp >= ", *filter.since);
  if (filter.until) out.bind(" AND e.timestamp < ", *filter.until);
  if (filter.before) {
    out.bind(" AND e.timestamp <= ", filter.before->timestamp_ms);
    out.bind(" AND (e.timestamp < ", filter.before->timestamp_ms);
    out.bind(" OR e.sequence < ", filter.before->sequence, ")");
  }
}

void add_who(Statement& out, const Filter& filter) {
  // The first condition lets the partial index be used.
  if (!filter.user.empty()) out.bind(" AND e.user_name <> '' AND e.user_name = ", std::string_view(filter.user));
  if (!filter.session_id.empty()) {
    out.bind(" AND e.session_id <> '' AND e.session_id = ", std::string_view(filter.session_id));
  }
}

// "session.*": the types that begin so. Each is a search of its own, as an index is in the order of time within a type
// only; what they give is merged.
std::vector<std::string_view> types_of(const Filter& filter) {
  std::vector<std::string_view> types;
  std::string_view prefix = std::string_view(filter.type).substr(0, filter.type.size() - 1);
  for (const EventInfo& event : kCatalogue) {
    bool there = std::ranges::find(types, event.type) != types.end();
    if (event.type.starts_with(prefix) && !there) types.push_back(event.type);
  }
  return types;
}

void add_types(Statement& out, const Filter& filter, const std::vector<std::string_view>& types) {
  if (!filter.type.ends_with(".*")) {
    if (!filter.type.empty()) out.bind(" AND e.event_type = ", std::string_view(filter.type));
    return;
  }
  out.sql += " AND e.event_type IN (''";
  for (std::string_view type : types) out.bind(", ", type);
  out.sql += ")";
}

Result<std::vector<StoredEvent>> run(store::Database& database, const Statement& statement) {
  MEZ_TRY(auto reader, database.snapshot());
  MEZ_TRY(auto rows, reader.query(statement.sql, std::span<const store::Parameter>(statement.parameters)));
  std::vector<StoredEvent> events;
  while (true) {
    MEZ_TRY(bool more, rows.next());
    if (!more) return events;
    StoredEvent event{.sequence = rows.integer(0), .timestamp_ms = rows.integer(1), .json = rows.text(2)};
    if (event.json.ends_with('}')) {
      event.json.pop_back();
      event.json += fmt::format(R"(,"hmac":"{}","hmac_key_id":{},"prev_hmac":"{}"}})", to_hex(rows.bytes(3)),
                                json_quote(rows.text(4)), to_hex(rows.bytes(5)));
    }
    events.push_back(std::move(event));
  }
}

}  // namespace

Status index_words(store::Session& transaction, std::int64_t sequence, const Event& event) {
  std::string words;
  auto add = [&](std::string_view text) {
    if (text.empty() || words.size() >= kMaxWordsBytes) return;
    words += text.substr(0, kMaxWordsBytes - words.size());
    words += ' ';
  };
  for (std::string_view text : {std::string_view(event.event_type), std::string_view(event.event_code),
                                std::string_view(event.user_name), std::string_view(event.client_ip),
                                std::string_view(event.resource_name), std::string_view(event.server_hostname),
                                std::string_view(event.error_message), std::string_view(event.impersonator)}) {
    add(text);
  }
  for (const std::string& role : event.user_roles) add(role);
  for (const auto& [name, value] : event.resource_labels) {
    add(name);
    add(value);
  }
  if (event.details != "{}") add(event.details);
  MEZ_CHECK(transaction.execute("INSERT INTO audit_words (rowid, words) VALUES (?1, ?2)",
                                {key_of(to_unix_millis(event.timestamp), sequence), words}));
  return {};
}

Result<std::vector<StoredEvent>> search_log(store::Database& database, const Filter& filter) {
  const auto limit = static_cast<std::int64_t>(std::clamp<std::size_t>(filter.limit, 1, kMaxListLimit));
  std::vector<std::string_view> types;
  if (filter.type.ends_with(".*")) types = types_of(filter);

  Statement statement;
  std::string match;
  if (!filter.text.empty()) {
    MEZ_TRY(match, match_of(filter));
  }
  if (!filter.text.empty() && !filter.session_id.empty()) {
    // A session has few events: each is looked up in the index of words.
    statement.sql = fmt::format("SELECT {} FROM audit_events e WHERE 1", kColumns);
    add_who(statement, filter);
    add_types(statement, filter, types);
    add_time(statement, filter);
    if (filter.after_sequence) statement.bind(" AND e.sequence > ", *filter.after_sequence);
    statement.bind(" AND EXISTS (SELECT 1 FROM audit_words WHERE audit_words MATCH ", std::string_view(match));
    statement.sql += " AND rowid = (e.timestamp << 20 | (e.sequence & 1048575)))";
    statement.sql += filter.after_sequence ? " ORDER BY e.sequence" : " ORDER BY e.timestamp DESC, e.sequence DESC";
  } else if (!filter.text.empty()) {
    statement.sql = fmt::format(
        "SELECT {} FROM audit_words w CROSS JOIN audit_events e ON e.timestamp = (w.rowid >> 20)"
        " AND (e.sequence & 1048575) = (w.rowid & 1048575) WHERE ",
        kColumns);
    statement.bind("audit_words MATCH ", std::string_view(match));
    if (filter.since) statement.bind(" AND w.rowid >= ", first_key_at(to_unix_millis(*filter.since)));
    if (filter.until) statement.bind(" AND w.rowid < ", first_key_at(to_unix_millis(*filter.until)));
    if (filter.before) {
      statement.bind(" AND w.rowid < ", key_of(filter.before->timestamp_ms, filter.before->sequence));
    }
    add_who(statement, filter);
    add_types(statement, filter, types);
    if (filter.after_sequence) statement.bind(" AND e.sequence > ", *filter.after_sequence);
    statement.sql += filter.after_sequence ? " ORDER BY e.sequence" : " ORDER BY w.rowid DESC";
  } else if (filter.after_sequence) {
    statement.sql = fmt::format("SELECT {} FROM audit_events e NOT INDEXED WHERE ", kColumns);
    statement.bind("e.sequence > ", *filter.after_sequence);
    add_time(statement, filter);
    add_who(statement, filter);
    add_types(statement, filter, types);
    statement.sql += " ORDER BY e.sequence";
  } else if (types.size() > 1 && filter.session_id.empty()) {
    for (std::string_view type : types) {
      statement.sql += fmt::format("{}SELECT * FROM (SELECT {} FROM audit_events e WHERE ",
                                   statement.sql.empty() ? "" : " UNION ALL ", kColumns);
      statement.bind("e.event_type = ", type);
      add_time(statement, filter);
      add_who(statement, filter);
      statement.bind(" ORDER BY e.timestamp DESC, e.sequence DESC LIMIT ", limit, ")");
    }
    statement.sql = fmt::format("SELECT * FROM ({}) ORDER BY timestamp DESC, sequence DESC", statement.sql);
  } else {
    statement.sql = fmt::format("SELECT {} FROM audit_events e WHERE 1", kColumns);
    add_types(statement, filter, types);
    add_time(statement, filter);
    add_who(statement, filter);
    statement.sql += " ORDER BY e.timestamp DESC, e.sequence DESC";
  }
  statement.bind(" LIMIT ", limit);
  return run(database, statement);
}

}  // namespace mezite::audit
