#include "recording/search/command_index.hh"

#include <algorithm>

#include "base/text.hh"
#include "recording/search/commands.hh"
#include "store/collect.hh"

namespace mezite::recording {
namespace {

constexpr std::size_t kMaxTextBytes = 1024;
constexpr std::size_t kMaxFound = 1000;
constexpr std::size_t kTrigram = 3;  // characters: shorter texts are not in the index of words

// The statement under way, and its values: texts that it does not own.
struct Statement {
  std::string sql;
  std::vector<store::Parameter> parameters;

  void bind(std::string_view before, store::Parameter value, std::string_view after = "") {
    parameters.push_back(value);
    sql += fmt::format("{}?{}{}", before, parameters.size(), after);
  }
};

std::size_t characters(std::string_view text) {
  return static_cast<std::size_t>(
      std::ranges::count_if(text, [](char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; }));
}

IndexState state_from(std::string_view text) {
  if (text == "encrypted") return IndexState::kEncrypted;
  return text == "indexed" ? IndexState::kIndexed : IndexState::kUnreadable;
}

// Those of a session out of the table and the index over it: an FTS5 table of external content is told what it held.
Status forget(store::Session& transaction, std::string_view session_id) {
  MEZ_CHECK(
      transaction.execute("INSERT INTO recorded_command_text (recorded_command_text, rowid, command)"
                          " SELECT 'delete', number, command FROM recorded_commands WHERE session_id = ?1",
                          {session_id}));
  MEZ_CHECK(transaction.execute("DELETE FROM recorded_commands WHERE session_id = ?1", {session_id}));
  MEZ_CHECK(transaction.execute("DELETE FROM recorded_sessions WHERE session_id = ?1", {session_id}));
  return {};
}

}  // namespace

std::string_view to_text(IndexState state) {
  switch (state) {
    case IndexState::kIndexed: return "indexed";
    case IndexState::kEncrypted: return "encrypted";
    case IndexState::kUnreadable: break;
  }
  return "unreadable";
}

Status CommandIndex::note(store::Session& transaction, std::string_view session_id,
                          const IndexedSession& session) const {
  MEZ_CHECK(transaction.execute(
      "INSERT INTO recorded_sessions (session_id, state, commands, note, indexed_at) VALUES (?1, ?2, ?3, ?4, ?5)",
      {session_id, to_text(session.state), session.commands, session.note, clock_.now()}));
  return {};
}

Result<IndexedSession> CommandIndex::put(Reader& reader) {
  const Header header = reader.header();
  IndexedSession session;
  std::vector<Command> commands;
  // What an exec ran stands in the header, which is not encrypted.
  if (header.is_encrypted() && header.kind == SessionKind::kPty) session.state = IndexState::kEncrypted;
  const Status read = find_commands(reader, [&commands](Command command) { commands.push_back(std::move(command)); });
  if (!read && session.state != IndexState::kEncrypted) {
    session.state = IndexState::kUnreadable;
    session.note = printable(read.error().message.substr(0, 500));
  }
  MEZ_TRY(auto transaction, database_.begin());
  MEZ_CHECK(forget(transaction, header.session_id));
  const std::string_view kind = to_text(header.kind);
  for (const Command& command : commands) {
    MEZ_CHECK(transaction.execute(
        "INSERT INTO recorded_commands (session_id, user_name, login, node, kind, timestamp, offset_ms, command)"
        " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        {header.session_id, header.user, header.login, header.node, kind, header.started_at + command.at,
         command.at.count(), command.text}));
    MEZ_CHECK(transaction.execute("INSERT INTO recorded_command_text (rowid, command) VALUES (last_insert_rowid(), ?1)",
                                  {command.text}));
  }
  session.commands = static_cast<std::int64_t>(commands.size());
  MEZ_CHECK(note(transaction, header.session_id, session));
  MEZ_CHECK(transaction.commit());
  return session;
}

Status CommandIndex::put_unreadable(std::string_view session_id, std::string_view why) {
  MEZ_TRY(auto transaction, database_.begin());
  MEZ_CHECK(forget(transaction, session_id));
  MEZ_CHECK(note(transaction, session_id, {.state = IndexState::kUnreadable, .note = printable(why.substr(0, 500))}));
  return transaction.commit();
}

Status CommandIndex::remove(std::string_view session_id) {
  MEZ_TRY(auto transaction, database_.begin());
  MEZ_CHECK(forget(transaction, session_id));
  return transaction.commit();
}

Result<std::optional<IndexedSession>> CommandIndex::state_of(std::string_view session_id) const {
  MEZ_TRY(auto reader, database_.snapshot());
  MEZ_TRY(auto rows,
          reader.query("SELECT state, commands, note FROM recorded_sessions WHERE session_id = ?1", {session_id}));
  MEZ_TRY(const bool found, rows.next());
  if (!found) return std::optional<IndexedSession>();
  return std::optional(
      IndexedSession{.state = state_from(rows.text(0)), .commands = rows.integer(1), .note = rows.text(2)});
}

Result<std::vector<IndexedCommand>> CommandIndex::find(const CommandFilter& filter) const {
  if (filter.text.size() > kMaxTextBytes || !is_valid_utf8(filter.text) || filter.text.contains('\0')) {
    return fail(ErrorCode::kInvalidArgument, "the text to search for is not UTF-8 of at most {} bytes", kMaxTextBytes);
  }
  const auto limit = static_cast<std::int64_t>(std::clamp<std::size_t>(filter.limit, 1, kMaxFound));
  std::string phrase;
  Statement statement;
  statement.sql =
      "SELECT c.number, c.session_id, c.user_name, c.login, c.node, c.kind, c.timestamp, c.offset_ms, c.command"
      " FROM recorded_commands c WHERE 1";
  if (characters(filter.text) >= kTrigram) {
    phrase = "\"";
    for (const char c : filter.text) {
      if (c == '"') phrase += '"';
      phrase += c;
    }
    phrase += '"';
    statement.bind(" AND c.number IN (SELECT rowid FROM recorded_command_text WHERE recorded_command_text MATCH ",
                   std::string_view(phrase), ")");
  } else if (!filter.text.empty()) {
    statement.bind(" AND instr(lower(c.command), lower(", std::string_view(filter.text), ")) > 0");
  }
  if (!filter.user.empty()) statement.bind(" AND c.user_name = ", std::string_view(filter.user));
  if (!filter.node.empty()) statement.bind(" AND c.node = ", std::string_view(filter.node));
  if (!filter.session_id.empty()) statement.bind(" AND c.session_id = ", std::string_view(filter.session_id));
  if (filter.since) statement.bind(" AND c.timestamp >= ", *filter.since);
  if (filter.until) statement.bind(" AND c.timestamp < ", *filter.until);
  if (filter.before) {
    statement.bind(" AND c.timestamp <= ", filter.before->time_ms);
    statement.bind(" AND (c.timestamp < ", filter.before->time_ms);
    statement.bind(" OR c.number < ", filter.before->number, ")");
  }
  statement.bind(" ORDER BY c.timestamp DESC, c.number DESC LIMIT ", limit);
  MEZ_TRY(auto reader, database_.snapshot());
  MEZ_TRY(auto rows, reader.query(statement.sql, std::span<const store::Parameter>(statement.parameters)));
  return store::collect(std::move(rows), [](const store::Rows& row) {
    return IndexedCommand{.number = row.integer(0),
                          .session_id = row.text(1),
                          .user = row.text(2),
                          .login = row.text(3),
                          .node = row.text(4),
                          .kind = row.text(5),
                          .time = row.time(6),
                          .offset = std::chrono::milliseconds(row.integer(7)),
                          .command = row.text(8)};
  });
}

}  // namespace mezite::recording
