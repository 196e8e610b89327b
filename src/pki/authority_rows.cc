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

Status insert_authority(store::Session& transaction, const SecretBox& box, const AuthorityRow& row) {
  MEZ_TRY(Bytes stored, box.seal(context_of(row.type, row.generation), row.key.private_key.view()));
  MEZ_CHECK(transaction.execute(
      "INSERT INTO certificate_authorities (type, generation, standing, private_key, ssh_public_key, x509_pem,"
      " created_at, expires_at, kms_alias) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
      {row.type, row.generation, row.standing, stored, row.ssh_public_key, row.x509_pem, row.created_at, row.expires_at,
       row.key.kms_alias}));
  if (!row.key.kms_alias.empty()) {
    MEZ_CHECK(transaction.execute("DELETE FROM settings WHERE name = ?1", {pending_kms_key_setting(row.type)}));
  }
  return {};
}

Result<std::vector<RotationRow>> load_rotations(store::Session& session) {
  std::vector<RotationRow> found;
  MEZ_TRY(auto rows, session.query("SELECT type, phase, state FROM ca_rotations"));
  while (true) {
    MEZ_TRY(bool more, rows.next());
    if (!more) return found;
    found.push_back({.type = rows.text(0), .phase = rows.text(1), .state = rows.text(2)});
  }
}

Status put_rotation(store::Session& transaction, const RotationRow& row) {
  MEZ_CHECK(
      transaction.execute("INSERT INTO ca_rotations (type, phase, state) VALUES (?1, ?2, ?3)"
                          " ON CONFLICT (type) DO UPDATE SET phase = excluded.phase, state = excluded.state",
                          {row.type, row.phase, row.state}));
  return {};
}

}  // namespace mezite::pki
