// The rotation of one certificate authority as a table: which step is legal where, where it leads, and what becomes of
// the two keys. Pure: no key, no database, no clock. docs/ca-rotation.md shows the same table to operators.
#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>

#include "base/result.hh"

namespace mezite::pki {

enum class AuthorityType;

enum class RotationPhase { kInit, kUpdateClients, kUpdateServers, kComplete };
enum class RotationState { kStandby, kInProgress, kRollback };

std::string_view to_text(RotationPhase phase);  // "init", "update_clients", "update_servers", "complete"
std::string_view to_text(RotationState state);  // "standby", "in_progress", "rollback"
Result<RotationPhase> parse_rotation_phase(std::string_view text);
Result<RotationState> parse_rotation_state(std::string_view text);

struct Rotation {
  RotationPhase phase = RotationPhase::kComplete;
  RotationState state = RotationState::kStandby;
  bool operator==(const Rotation&) const = default;
};

enum class RotationStep {
  kRotate,    // somebody asks for a new key
  kKeyMade,   // it exists, and is stored with the state that this leads to
  kAdvance,   // somebody says that everybody is ready
  kRollback,  // somebody wants the previous key back
};
std::string_view to_text(RotationStep step);  // "rotate", "key_made", "advance", "rollback"

// The active key signs; both are trusted. There is a standby key in the phases update_clients and update_servers only.
enum class KeyChange {
  kNone,
  kAddStandby,   // the new key comes, trusted and silent
  kSwap,         // the standby key signs from here on; the other stays trusted
  kDropStandby,  // the silent key is deleted and trusted no more
};

struct Transition {
  Rotation from;
  RotationStep step;
  Rotation to;
  KeyChange keys;
};

// Every legal step there is.
std::span<const Transition> rotation_table();

// kFailedPrecondition for a step that is not in the table; the sentence says what can be done instead.
Result<Transition> next_rotation(AuthorityType type, Rotation from, RotationStep step);

// What an agent has of one CA, by the fingerprints of keys.
struct AgentStanding {
  std::int64_t revision = 0;  // of the trust bundle that it holds; older bundles and certificates it does not take
  std::set<std::string, std::less<>> trusted;
  std::string ssh_signer, x509_signer;  // of its own two certificates; they count for the host CA only
};

// The two keys of a CA, by fingerprint.
struct KeyPair {
  std::int64_t revision = 0;  // grows whenever a key of any CA comes, goes or changes places
  std::string active;
  std::string standby;  // "" when there is none
  bool operator==(const KeyPair&) const = default;
};

// Whether an agent has all that the present phase asks of it: exactly the trusted keys, and certificates of the active
// one. nullopt standing: an agent that has not said what it has (an older version, or never connected) is behind. So is
// one whose report is of an older revision: what it said then need not be true any more.
bool is_caught_up(AuthorityType type, const KeyPair& keys, const std::optional<AgentStanding>& standing);

// Whether an advance from here would leave the agent without a way to the cluster: it would not trust the key that
// signs then, or it would show a certificate of a key that is trusted no more.
bool is_cut_off_by_advance(AuthorityType type, Rotation from, const KeyPair& keys,
                           const std::optional<AgentStanding>& standing);

}  // namespace mezite::pki
