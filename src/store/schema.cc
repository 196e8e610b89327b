#include "store/schema.hh"

#include <array>

namespace mezite::store {

namespace {

// Times are milliseconds since 1970; lists and maps are JSON. Tables are STRICT, so a column holds what it says.

constexpr std::string_view kSettings = R"sql(
CREATE TABLE settings (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE revision (number INTEGER NOT NULL) STRICT;
INSERT INTO revision (number) VALUES (1);
)sql";

constexpr std::string_view kIdentity = R"sql(
CREATE TABLE roles (
  name TEXT PRIMARY KEY,
  description TEXT NOT NULL,
  document TEXT NOT NULL,
  built_in INTEGER NOT NULL CHECK (built_in IN (0, 1)),
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL
) STRICT;

CREATE TABLE users (
  name TEXT PRIMARY KEY,
  traits TEXT NOT NULL,
  password_hash TEXT,
  password_changed_at INTEGER,
  failed_logins INTEGER NOT NULL DEFAULT 0,
  locked_until INTEGER,
  created_at INTEGER NOT NULL,
  last_login_at INTEGER
) STRICT;
CREATE UNIQUE INDEX users_by_folded_name ON users (lower(name));

CREATE TABLE user_roles (
  user_name TEXT NOT NULL REFERENCES users (name) ON DELETE CASCADE,
  role_name TEXT NOT NULL REFERENCES roles (name),
  PRIMARY KEY (user_name, role_name)
) STRICT, WITHOUT ROWID;
CREATE INDEX user_roles_by_role ON user_roles (role_name);

CREATE TABLE sessions (
  token_sha256 BLOB PRIMARY KEY,
  id TEXT NOT NULL UNIQUE,
  user_name TEXT NOT NULL REFERENCES users (name) ON DELETE CASCADE,
  client_ip TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  expires_at INTEGER NOT NULL
) STRICT;
CREATE INDEX sessions_by_user ON sessions (user_name);
CREATE INDEX sessions_by_end ON sessions (expires_at);

CREATE TABLE invites (
  secret_sha256 BLOB PRIMARY KEY,
  user_name TEXT NOT NULL REFERENCES users (name) ON DELETE CASCADE,
  purpose TEXT NOT NULL CHECK (purpose IN ('invite', 'reset')),
  created_at INTEGER NOT NULL,
  expires_at INTEGER NOT NULL
) STRICT;
CREATE INDEX invites_by_user ON invites (user_name);

CREATE TABLE join_tokens (
  id TEXT PRIMARY KEY,
  secret_sha256 BLOB NOT NULL UNIQUE,
  roles TEXT NOT NULL,
  labels TEXT NOT NULL,
  created_by TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  expires_at INTEGER NOT NULL,
  used INTEGER NOT NULL DEFAULT 0 CHECK (used IN (0, 1)),
  used_at INTEGER,
  used_by TEXT NOT NULL DEFAULT ''
) STRICT;

CREATE TABLE nodes (
  id TEXT PRIMARY KEY,
  name TEXT NOT NULL,
  hostname TEXT NOT NULL,
  labels TEXT NOT NULL,
  token_labels TEXT NOT NULL,
  version TEXT NOT NULL,
  ssh_public_key TEXT NOT NULL,
  tls_public_key BLOB NOT NULL,
  host_cert_signer_fingerprint TEXT NOT NULL DEFAULT '',
  host_cert_expires_at INTEGER,
  joined_at INTEGER NOT NULL,
  last_heartbeat INTEGER
) STRICT;
CREATE UNIQUE INDEX nodes_by_folded_name ON nodes (lower(name));

CREATE TABLE locks (
  id TEXT PRIMARY KEY,
  kind TEXT NOT NULL CHECK (kind IN ('user', 'role', 'node', 'login')),
  name TEXT NOT NULL,
  message TEXT NOT NULL,
  created_by TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  expires_at INTEGER
) STRICT;
CREATE INDEX locks_by_target ON locks (kind, name);
)sql";

constexpr std::string_view kAudit = R"sql(
CREATE TABLE audit_events (
  sequence INTEGER PRIMARY KEY,
  id TEXT NOT NULL UNIQUE,
  event_type TEXT NOT NULL,
  timestamp INTEGER NOT NULL,
  user_name TEXT NOT NULL,
  session_id TEXT NOT NULL,
  json TEXT NOT NULL,
  key_id TEXT NOT NULL,
  prev_hmac BLOB NOT NULL,
  hmac BLOB NOT NULL
) STRICT;
CREATE INDEX audit_events_by_type ON audit_events (event_type, sequence);
CREATE INDEX audit_events_by_time ON audit_events (timestamp);
CREATE INDEX audit_events_by_user ON audit_events (user_name, sequence) WHERE user_name <> '';
CREATE INDEX audit_events_by_session ON audit_events (session_id, sequence) WHERE session_id <> '';

CREATE TABLE audit_head (
  one INTEGER PRIMARY KEY CHECK (one = 1),
  sequence INTEGER NOT NULL,
  hmac BLOB NOT NULL,
  key_id TEXT NOT NULL,
  seal BLOB NOT NULL
) STRICT;
)sql";

constexpr std::string_view kAuthorities = R"sql(
CREATE TABLE secret_box (
  one INTEGER PRIMARY KEY CHECK (one = 1),
  salt BLOB NOT NULL,
  memory_kib INTEGER NOT NULL,
  iterations INTEGER NOT NULL,
  lanes INTEGER NOT NULL,
  check_value BLOB NOT NULL
) STRICT;

CREATE TABLE certificate_authorities (
  type TEXT NOT NULL CHECK (type IN ('user', 'host', 'spiffe')),
  generation INTEGER NOT NULL,
  standing TEXT NOT NULL CHECK (standing IN ('active', 'standby')),
  private_key BLOB NOT NULL,
  ssh_public_key TEXT NOT NULL,
  x509_pem TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  expires_at INTEGER NOT NULL,
  PRIMARY KEY (type, generation)
) STRICT;
CREATE UNIQUE INDEX certificate_authorities_active ON certificate_authorities (type) WHERE standing = 'active';

CREATE TABLE ca_rotations (
  type TEXT PRIMARY KEY,
  phase TEXT NOT NULL CHECK (phase IN ('init', 'update_clients', 'update_servers', 'complete')),
  state TEXT NOT NULL CHECK (state IN ('standby', 'in_progress', 'rollback'))
) STRICT;
)sql";

// A CA whose key is in a KMS has its name here and an empty private_key.
constexpr std::string_view kKeyPlaces = R"sql(
ALTER TABLE certificate_authorities ADD COLUMN kms_alias TEXT NOT NULL DEFAULT '';
)sql";

// Lists go by time, newest first, with the sequence as the last word; text by words. audit_words is keyed by
// (milliseconds << 20 | the low bits of the sequence), so that its answers come in the order of the lists.
constexpr std::string_view kAuditSearch = R"sql(
DROP INDEX audit_events_by_type;
DROP INDEX audit_events_by_user;
DROP INDEX audit_events_by_session;
CREATE INDEX audit_events_by_type_time ON audit_events (event_type, timestamp);
CREATE INDEX audit_events_by_user_time ON audit_events (user_name, timestamp) WHERE user_name <> '';
CREATE INDEX audit_events_by_user_type ON audit_events (user_name, event_type, timestamp) WHERE user_name <> '';
CREATE INDEX audit_events_by_session_time ON audit_events (session_id, timestamp) WHERE session_id <> '';

CREATE VIRTUAL TABLE audit_words USING fts5 (words, content='', columnsize=0, tokenize='unicode61 remove_diacritics 0');
INSERT INTO audit_words (rowid, words)
  SELECT (max(0, min(timestamp, 8796093022207)) << 20) | (sequence & 1048575),
    (SELECT group_concat(value, ' ') FROM json_tree(audit_events.json) WHERE atom IS NOT NULL AND type = 'text')
  FROM audit_events;

CREATE TABLE audit_sinks (name TEXT PRIMARY KEY, sequence INTEGER NOT NULL) STRICT;
)sql";

// Rotation: the revision of the last change of a key, and what is still to be told of the last step. What each agent
// says it has of the CAs. Certificates that are good no more.
constexpr std::string_view kRotation = R"sql(
ALTER TABLE ca_rotations ADD COLUMN revision INTEGER NOT NULL DEFAULT 1;
ALTER TABLE ca_rotations ADD COLUMN note TEXT NOT NULL DEFAULT '';
ALTER TABLE nodes ADD COLUMN ca_report TEXT NOT NULL DEFAULT '';

CREATE TABLE revocations (
  id TEXT PRIMARY KEY,
  kind TEXT NOT NULL CHECK (kind IN ('serial', 'key_id')),
  value TEXT NOT NULL,
  user_name TEXT NOT NULL,
  reason TEXT NOT NULL,
  created_by TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  expires_at INTEGER,
  UNIQUE (kind, value)
) STRICT;
)sql";

// The commands of recorded sessions, found by any part of their text of three characters or more. What is known of a
// recording stands in recorded_sessions, so that one that holds no command is not read again. enhanced_recording: what
// an agent said of the kernel's part.
constexpr std::string_view kRecordedCommands = R"sql(
CREATE TABLE recorded_sessions (
  session_id TEXT PRIMARY KEY,
  state TEXT NOT NULL CHECK (state IN ('indexed', 'encrypted', 'unreadable')),
  commands INTEGER NOT NULL,
  note TEXT NOT NULL,
  indexed_at INTEGER NOT NULL
) STRICT;

CREATE TABLE recorded_commands (
  number INTEGER PRIMARY KEY,
  session_id TEXT NOT NULL,
  user_name TEXT NOT NULL,
  login TEXT NOT NULL,
  node TEXT NOT NULL,
  kind TEXT NOT NULL,
  timestamp INTEGER NOT NULL,
  offset_ms INTEGER NOT NULL,
  command TEXT NOT NULL
) STRICT;
CREATE INDEX recorded_commands_by_time ON recorded_commands (timestamp);
CREATE INDEX recorded_commands_by_user_time ON recorded_commands (user_name, timestamp);
CREATE INDEX recorded_commands_by_session ON recorded_commands (session_id, offset_ms);
CREATE VIRTUAL TABLE recorded_command_text
  USING fts5 (command, content='recorded_commands', content_rowid='number', tokenize='trigram');

ALTER TABLE nodes ADD COLUMN enhanced_recording TEXT NOT NULL DEFAULT '';
)sql";

// Which processes on which nodes have a SPIFFE ID. Selectors are sorted, so that the same ones are the same text.
constexpr std::string_view kWorkloads = R"sql(
CREATE TABLE workload_identities (
  id TEXT PRIMARY KEY,
  spiffe_id TEXT NOT NULL,
  selectors TEXT NOT NULL,
  x509_ttl_seconds INTEGER NOT NULL,
  jwt_ttl_seconds INTEGER NOT NULL,
  dns_names TEXT NOT NULL,
  jwt_audiences TEXT NOT NULL,
  hint TEXT NOT NULL,
  created_by TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  UNIQUE (spiffe_id, selectors)
) STRICT;
)sql";

// How a join token is used; who may, of those that prove themselves to AWS. As whom a node proved itself.
constexpr std::string_view kJoinMethods = R"sql(
ALTER TABLE join_tokens ADD COLUMN method TEXT NOT NULL DEFAULT 'token' CHECK (method IN ('token', 'iam'));
ALTER TABLE join_tokens ADD COLUMN aws_accounts TEXT NOT NULL DEFAULT '[]';
ALTER TABLE join_tokens ADD COLUMN aws_arns TEXT NOT NULL DEFAULT '[]';
ALTER TABLE nodes ADD COLUMN joined_as TEXT NOT NULL DEFAULT '';
)sql";

// The hub's key for recordings: agents seal to it what their recordings are verified with.
constexpr std::string_view kRecordingKey = R"sql(
CREATE TABLE recording_keys (
  id INTEGER PRIMARY KEY CHECK (id = 1),
  private_key BLOB NOT NULL,
  created_at INTEGER NOT NULL
) STRICT;
)sql";

constexpr std::array kSchema = std::to_array<Migration>({
    {1, "settings", kSettings},
    {2, "identity", kIdentity},
    {3, "audit", kAudit},
    {4, "authorities", kAuthorities},
    {5, "key places", kKeyPlaces},
    {6, "audit search", kAuditSearch},
    {7, "rotation", kRotation},
    {8, "recorded commands", kRecordedCommands},
    {9, "workloads", kWorkloads},
    {10, "join methods", kJoinMethods},
    {11, "recording key", kRecordingKey},
});

}  // namespace

std::span<const Migration> schema() { return kSchema; }

}  // namespace mezite::store
