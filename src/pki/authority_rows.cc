#include "pki/authority_rows.hh"

#include <fmt/format.h>

namespace mezite::pki {

namespace {

std::string context_of(std::string_view type, std::int64_t generation) {
  return fmt::format("certificate_authorities/{}/{}", type, generation);
}

}  // namespace

Result<std::vector<AuthorityRow>> load_authorities(store::Session& session, const SecretBox& box) {
  std::vector<AuthorityRow> found;
  MEZ_TRY(auto rows, session.query("SELECT type, generation, standing, private_key, ssh_public_key, x509_pem,"
                                   " created_at, expires_at, kms_alias FROM certificate_authorities"
                                   " ORDER BY type, generation"));
  while (true) {
    MEZ_TRY(bool more, rows.next());
    if (!more) return found;
    AuthorityRow row;
    row.type = rows.text(0);
    row.generation = rows.integer(1);
    row.standing = rows.text(2);
    row.key.kms_alias = rows.text(8);
    if (row.key.kms_alias.empty()) {
      MEZ_TRY(row.key.private_key, box.open_sealed(context_of(row.type, row.generation), rows.bytes(3)));
    }
    row.ssh_public_key = rows.text(4);
    row.x509_pem = rows.text(5);
    row.created_at = rows.time(6);
    row.expires_at = rows.time(7);
    found.push_back(std::move(row));
  }
}

std::string pending_kms_key_setting(std::string_view ca_type) { return fmt::format("kms.pending.{}", ca_type); }

Result<std::int64_t> insert_authority(store::Session& transaction, const SecretBox& box, const AuthorityRow& row) {
  MEZ_TRY(std::int64_t generation,
          transaction.query_integer(
              "SELECT coalesce(max(generation), 0) + 1 FROM certificate_authorities WHERE type = ?1", {row.type}));
  MEZ_TRY(Bytes stored, box.seal(context_of(row.type, generation), row.key.private_key.view()));
  MEZ_CHECK(transaction.execute(
      "INSERT INTO certificate_authorities (type, generation, standing, private_key, ssh_public_key, x509_pem,"
      " created_at, expires_at, kms_alias) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
      {row.type, generation, row.standing, stored, row.ssh_public_key, row.x509_pem, row.created_at, row.expires_at,
       row.key.kms_alias}));
  if (!row.key.kms_alias.empty()) {
    MEZ_CHECK(transaction.execute("DELETE FROM settings WHERE name = ?1", {pending_kms_key_setting(row.type)}));
  }
  return generation;
}

Status swap_standings(store::Session& transaction, std::string_view type, std::int64_t active, std::int64_t standby) {
  constexpr std::string_view kSql =
      "UPDATE certificate_authorities SET standing = ?3 WHERE type = ?1 AND generation = ?2 AND standing = ?4";
  // In this order: there is never more than one active key.
  MEZ_TRY(std::int64_t silenced, transaction.execute(kSql, {type, active, "standby", "active"}));
  MEZ_TRY(std::int64_t raised, transaction.execute(kSql, {type, standby, "active", "standby"}));
  if (silenced == 1 && raised == 1) return {};
  return fail(ErrorCode::kCorrupt, "the {} CA has not the two keys that it should have: restart the hub", type);
}

Status delete_standby(store::Session& transaction, std::string_view type) {
  MEZ_TRY(std::int64_t changed,
          transaction.execute("DELETE FROM certificate_authorities WHERE type = ?1 AND standing = 'standby'", {type}));
  if (changed == 1) return {};
  return fail(ErrorCode::kCorrupt, "the {} CA has not the two keys that it should have: restart the hub", type);
}

Result<std::vector<RotationRow>> load_rotations(store::Session& session) {
  std::vector<RotationRow> found;
  MEZ_TRY(auto rows, session.query("SELECT type, phase, state, revision, note FROM ca_rotations"));
  while (true) {
    MEZ_TRY(bool more, rows.next());
    if (!more) return found;
    RotationRow row{.type = rows.text(0), .rotation = {}, .revision = rows.integer(3), .note = rows.text(4)};
    MEZ_TRY(row.rotation.phase, parse_rotation_phase(rows.text(1)));
    MEZ_TRY(row.rotation.state, parse_rotation_state(rows.text(2)));
    found.push_back(std::move(row));
  }
}

Status put_rotation(store::Session& transaction, const RotationRow& row) {
  MEZ_CHECK(transaction.execute(
      "INSERT INTO ca_rotations (type, phase, state, revision, note)"
      " VALUES (?1, ?2, ?3, ?4, ?5)"
      " ON CONFLICT (type) DO UPDATE SET phase = excluded.phase, state = excluded.state,"
      " revision = excluded.revision, note = excluded.note",
      {row.type, to_text(row.rotation.phase), to_text(row.rotation.state), row.revision, row.note}));
  return {};
}

}  // namespace mezite::pki
