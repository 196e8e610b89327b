// The steps of a rotation: the table of rotation.hh, carried out.
#include "pki/key_ring.hh"
#include "pki/retired_keys.hh"
#include "store/settings.hh"

namespace mezite::pki {

namespace {

// What is stored must be what is held: somebody else's write would be lost otherwise.
Status check_stored(store::Session& transaction, AuthorityType type, const LoadedAuthority& held) {
  MEZ_TRY(auto rotations, load_rotations(transaction));
  for (const RotationRow& row : rotations) {
    if (row.type == to_text(type) && row.rotation == held.rotation) return {};
  }
  return fail(ErrorCode::kCorrupt,
              "the rotation of the {} CA in the database is not the one that this hub holds: restart the hub",
              to_text(type));
}

Status change_keys(store::Session& transaction, const SecretBox& box, std::string_view type, KeyChange change,
                   const LoadedAuthority& held, const std::optional<AuthorityRow>& minted,
                   std::optional<LoadedKey>& fresh, SystemTime now) {
  switch (change) {
    case KeyChange::kNone: return {};
    case KeyChange::kAddStandby: {
      MEZ_TRY(fresh->generation, insert_authority(transaction, box, *minted));
      return {};
    }
    case KeyChange::kSwap: return swap_standings(transaction, type, held.active->generation, held.standby->generation);
    case KeyChange::kDropStandby:
      MEZ_CHECK(delete_standby(transaction, type));
      if (held.standby->kms.alias.empty()) return {};
      return add_retired_key(transaction, {.ca_type = std::string(type), .kms = held.standby->kms, .retired_at = now});
  }
  return {};
}

}  // namespace

Result<Transition> Authority::step(AuthorityType type, RotationStep step, std::string_view note,
                                   store::Database& database, const SecretBox& box, KeyStore& keys) {
  std::lock_guard one_at_a_time(state_->stepping);
  auto held = state_->ring();
  MEZ_TRY(Transition transition, next_rotation(type, held->of(type).rotation, step));

  std::optional<AuthorityRow> minted;
  std::optional<LoadedKey> fresh;
  if (transition.keys == KeyChange::kAddStandby) {
    MEZ_TRY(minted, mint_authority(keys, type, state_->cluster_name, state_->clock->now()));
    minted->standing = "standby";
    MEZ_TRY(fresh, load_key(keys, *minted));
  }
  // All that may fail is done before the commit: what is stored and what is held do not part.
  auto next = std::make_shared<KeyRing>(*held);
  LoadedAuthority& authority = next->of(type);
  authority.rotation = transition.to;
  if (transition.keys == KeyChange::kAddStandby) authority.standby = fresh;
  if (transition.keys == KeyChange::kSwap) std::swap(authority.active, authority.standby);
  if (transition.keys == KeyChange::kDropStandby) authority.standby.reset();
  MEZ_CHECK(renew_cross(authority));

  MEZ_TRY(auto transaction, database.begin());
  MEZ_CHECK(check_stored(transaction, type, held->of(type)));
  MEZ_TRY(std::int64_t revision, store::bump_revision(transaction));
  if (transition.keys != KeyChange::kNone) next->revision = revision;
  MEZ_CHECK(change_keys(transaction, box, to_text(type), transition.keys, held->of(type), minted, fresh,
                        state_->clock->now()));
  MEZ_CHECK(put_rotation(transaction, {.type = std::string(to_text(type)),
                                       .rotation = transition.to,
                                       .revision = next->revision,
                                       .note = std::string(note)}));
  MEZ_CHECK(transaction.commit());
  if (fresh) authority.standby->generation = fresh->generation;
  state_->put(std::move(next));
  // The deleted key's bytes stay neither in the file nor in its log.
  if (transition.keys == KeyChange::kDropStandby) [[maybe_unused]]
    Status scrubbed = database.scrub();
  return transition;
}

Result<std::vector<std::string>> Authority::unsettled_notes(store::Database& database) {
  MEZ_TRY(auto reader, database.snapshot());
  MEZ_TRY(auto rotations, load_rotations(reader));
  std::vector<std::string> notes;
  for (RotationRow& row : rotations) {
    if (!row.note.empty()) notes.push_back(std::move(row.note));
  }
  return notes;
}

Status Authority::settle(store::Database& database, std::string_view note) {
  MEZ_TRY(auto transaction, database.begin());
  MEZ_CHECK(transaction.execute("UPDATE ca_rotations SET note = '' WHERE note = ?1", {note}));
  return transaction.commit();
}

}  // namespace mezite::pki
