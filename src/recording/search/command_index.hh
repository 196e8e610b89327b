// The commands of recorded sessions in the hub's database.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.hh"
#include "recording/header.hh"
#include "recording/reader.hh"
#include "store/database.hh"

namespace mezite::recording {

struct IndexedCommand {
  std::int64_t number = 0;
  std::string session_id, user, login, node, kind;
  SystemTime time;
  std::chrono::milliseconds offset{0};
  std::string command;
};

struct CommandFilter {
  std::string text;  // any part of a command, capitals or not; empty: every command
  std::string user, node, session_id;
  std::optional<SystemTime> since, until;
  std::size_t limit = 100;  // up to 1000
  struct Page {
    std::int64_t time_ms = 0, number = 0;
  };
  std::optional<Page> before;  // what comes after this one in the order of the answer
};

enum class IndexState { kIndexed, kEncrypted, kUnreadable };
std::string_view to_text(IndexState state);

struct IndexedSession {
  IndexState state = IndexState::kIndexed;
  std::int64_t commands = 0;
  std::string note;  // of what is damaged
};

// Thread-safe; calls block on the database.
class CommandIndex {
 public:
  // Both outlive it.
  CommandIndex(store::Database& database, const Clock& clock) : database_(database), clock_(clock) {}

  // Reads the recording and puts its commands in the place of those that were there, in one transaction. One that is
  // encrypted (its Reader has no key) or altered is noted as such; the error is the database's.
  Result<IndexedSession> put(Reader& reader);
  // Notes that it could not even be opened.
  Status put_unreadable(std::string_view session_id, std::string_view why);
  Status remove(std::string_view session_id);
  // None: not seen yet.
  Result<std::optional<IndexedSession>> state_of(std::string_view session_id) const;

  // Newest first.
  Result<std::vector<IndexedCommand>> find(const CommandFilter& filter) const;

 private:
  Status note(store::Session& transaction, std::string_view session_id, const IndexedSession& session) const;
  store::Database& database_;
  const Clock& clock_;
};

}  // namespace mezite::recording
