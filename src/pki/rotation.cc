#include "pki/rotation.hh"

#include <algorithm>
#include <array>

#include "base/text.hh"
#include "pki/authority.hh"

namespace mezite::pki {

namespace {

constexpr Rotation kAtRest{RotationPhase::kComplete, RotationState::kStandby};
constexpr Rotation kBegun{RotationPhase::kInit, RotationState::kInProgress};
constexpr Rotation kClients{RotationPhase::kUpdateClients, RotationState::kInProgress};
constexpr Rotation kServers{RotationPhase::kUpdateServers, RotationState::kInProgress};
// The old key signs again and certificates of the new one are still around: as update_clients, with the roles changed.
constexpr Rotation kGoingBack{RotationPhase::kUpdateClients, RotationState::kRollback};

constexpr std::array kTable = std::to_array<Transition>({
    {kAtRest, RotationStep::kRotate, kBegun, KeyChange::kNone},
    // Making a key failed, or the hub ended meanwhile: the same again.
    {kBegun, RotationStep::kRotate, kBegun, KeyChange::kNone},
    {kBegun, RotationStep::kKeyMade, kClients, KeyChange::kAddStandby},
    {kBegun, RotationStep::kRollback, kAtRest, KeyChange::kNone},
    {kClients, RotationStep::kAdvance, kServers, KeyChange::kSwap},
    // The new key has signed nothing yet: nobody can miss it.
    {kClients, RotationStep::kRollback, kAtRest, KeyChange::kDropStandby},
    {kServers, RotationStep::kAdvance, kAtRest, KeyChange::kDropStandby},
    {kServers, RotationStep::kRollback, kGoingBack, KeyChange::kSwap},
    {kGoingBack, RotationStep::kAdvance, kAtRest, KeyChange::kDropStandby},
});

constexpr std::array kPhases{RotationPhase::kInit, RotationPhase::kUpdateClients, RotationPhase::kUpdateServers,
                             RotationPhase::kComplete};
constexpr std::array kStates{RotationState::kStandby, RotationState::kInProgress, RotationState::kRollback};

std::string what_to_do(std::string_view type, Rotation at) {
  if (at == kAtRest) return fmt::format("no rotation is under way; mezctl ca rotate --type={} starts one", type);
  if (at == kBegun) {
    return fmt::format(
        "its new key has not been made yet; mezctl ca rotate --type={0} tries again, mezctl ca rollback "
        "--type={0} gives up",
        type);
  }
  if (at == kGoingBack) {
    return fmt::format("it is being rolled back; mezctl ca advance --type={} ends that once every agent has caught up",
                       type);
  }
  return fmt::format(
      "a rotation is under way; mezctl ca advance --type={0} goes on, mezctl ca rollback --type={0} goes "
      "back",
      type);
}

}  // namespace

std::string_view to_text(RotationPhase phase) {
  switch (phase) {
    case RotationPhase::kInit: return "init";
    case RotationPhase::kUpdateClients: return "update_clients";
    case RotationPhase::kUpdateServers: return "update_servers";
    case RotationPhase::kComplete: break;
  }
  return "complete";
}

std::string_view to_text(RotationState state) {
  switch (state) {
    case RotationState::kInProgress: return "in_progress";
    case RotationState::kRollback: return "rollback";
    case RotationState::kStandby: break;
  }
  return "standby";
}

std::string_view to_text(RotationStep step) {
  switch (step) {
    case RotationStep::kRotate: return "rotate";
    case RotationStep::kKeyMade: return "key_made";
    case RotationStep::kAdvance: return "advance";
    case RotationStep::kRollback: break;
  }
  return "rollback";
}

Result<RotationPhase> parse_rotation_phase(std::string_view text) {
  for (RotationPhase phase : kPhases) {
    if (to_text(phase) == text) return phase;
  }
  return fail(ErrorCode::kCorrupt, "'{}' is no phase of a rotation", printable(text.substr(0, 64)));
}

Result<RotationState> parse_rotation_state(std::string_view text) {
  for (RotationState state : kStates) {
    if (to_text(state) == text) return state;
  }
  return fail(ErrorCode::kCorrupt, "'{}' is no state of a rotation", printable(text.substr(0, 64)));
}

std::span<const Transition> rotation_table() { return kTable; }

Result<Transition> next_rotation(AuthorityType type, Rotation from, RotationStep step) {
  const auto* found =
      std::ranges::find_if(kTable, [&](const Transition& one) { return one.from == from && one.step == step; });
  if (found != kTable.end()) return *found;
  return fail(ErrorCode::kFailedPrecondition, "the {} CA is in phase {} ({}), where there is no {}: {}", to_text(type),
              to_text(from.phase), to_text(from.state), to_text(step), what_to_do(to_text(type), from));
}

bool is_caught_up(AuthorityType type, const KeyPair& keys, const std::optional<AgentStanding>& standing) {
  if (!standing || standing->revision != keys.revision) return false;
  std::set<std::string, std::less<>> wanted{keys.active};
  if (!keys.standby.empty()) wanted.insert(keys.standby);
  if (standing->trusted != wanted) return false;
  return type != AuthorityType::kHost || (standing->ssh_signer == keys.active && standing->x509_signer == keys.active);
}

bool is_cut_off_by_advance(AuthorityType type, Rotation from, const KeyPair& keys,
                           const std::optional<AgentStanding>& standing) {
  if (!standing || standing->revision != keys.revision) return true;
  // The key that signs when the step is done.
  bool swaps = from == kClients;
  const std::string& signer = swaps ? keys.standby : keys.active;
  if (!standing->trusted.contains(signer)) return true;
  if (swaps || type != AuthorityType::kHost) return false;
  return standing->ssh_signer != signer || standing->x509_signer != signer;
}

}  // namespace mezite::pki
