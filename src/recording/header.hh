// Who was recorded, where and when: the first thing in a recording.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.hh"
#include "recording/recipient.hh"

namespace mezite::recording {

enum class SessionKind { kPty, kExec };
std::string_view to_text(SessionKind kind);  // "pty", "exec"

struct Header {
  std::string session_id;  // a UUID in lower case
  std::string cluster_name;
  std::string user;
  std::string login;
  std::string node;  // its name
  std::string node_id;
  std::string client_address;
  SessionKind kind = SessionKind::kPty;
  std::string command;  // empty: a shell
  SystemTime started_at;
  std::uint16_t columns = 0;  // 0: no terminal
  std::uint16_t rows = 0;
  std::vector<SealedKey> keys;  // empty: the events are in clear
  SealedKey chain_key;          // of the tags, for the hub

  bool is_encrypted() const { return !keys.empty(); }
  bool operator==(const Header&) const = default;
};

inline constexpr std::size_t kMaxHeaderBytes = 64 * 1024;

// What tells this recording from any other of the same session, as who makes another one can't make this: told of when
// the session starts, it shows that the recording which comes later is the one that began then.
std::string chain_id(const Header& header);

// One line of JSON. A text that is not UTF-8 keeps its valid part, U+FFFD for the rest; a command is cut at 32 KiB.
std::string header_to_json(const Header& header);
// Hostile input: wrong types, missing or over-long fields and ids that are no UUID are refused. Unknown keys are
// ignored.
Result<Header> parse_header(std::string_view json);

// "f81d4fae-7dec-41d0-a765-00a0c91e6bf6", lower case: what may be part of a file name.
bool is_session_id(std::string_view text);

}  // namespace mezite::recording
