#include "pki/key_ring.hh"

#include "ssh/keys/public_key.hh"

namespace mezite::pki {

namespace {

constexpr std::chrono::hours kAuthorityLife{24 * 3652};  // ten years
constexpr std::chrono::hours kAuthorityBackdating{1};

std::string_view subject_of(AuthorityType type) {
  return type == AuthorityType::kHost ? "Mezite Host CA" : "Mezite SPIFFE CA";
}

}  // namespace

Result<AuthorityRow> mint_authority(KeyStore& keys, AuthorityType type, std::string_view cluster_name, SystemTime now) {
  MEZ_TRY(NewKey minted, keys.make(to_text(type)));
  AuthorityRow row;
  row.type = to_text(type);
  row.standing = "active";
  row.key = std::move(minted.stored);
  row.ssh_public_key = minted.key.public_key().to_text();
  row.created_at = now;
  row.expires_at = now + kAuthorityLife;
  if (type != AuthorityType::kUser) {
    crypto::X509CaSpec spec{.common_name = std::string(subject_of(type)),
                            .organization = std::string(cluster_name),
                            .not_before = now - kAuthorityBackdating,
                            .not_after = row.expires_at};
    MEZ_TRY(auto certificate, crypto::make_x509_ca(minted.key.raw(), spec));
    row.x509_pem = certificate.to_pem();
  }
  return row;
}

Result<LoadedKey> load_key(KeyStore& keys, const AuthorityRow& row) {
  auto damaged = [&](std::string_view what) {
    return fail(ErrorCode::kCorrupt, "the {} CA in the database is damaged ({}): restore a backup", row.type, what);
  };
  auto key = keys.open(row.key);
  if (!key && row.key.kms_alias.empty()) return damaged(key.error().message);
  if (!key) return wrap(key.error(), fmt::format("the {} CA", row.type));
  auto written = ssh::PublicKey::from_text(row.ssh_public_key);
  if (!written || *written != key->public_key()) return damaged("its public key is another one's");
  LoadedKey loaded{.generation = row.generation,
                   .key = std::move(*key),
                   .kms_alias = row.key.kms_alias,
                   .x509 = std::nullopt,
                   .expires_at = row.expires_at};
  if (row.type == "user") return loaded;
  auto certificate = crypto::X509Certificate::from_pem(row.x509_pem);
  if (!certificate) return damaged(certificate.error().message);
  if (certificate->spki_sha256_hex() != loaded.key.raw().public_key().spki_sha256_hex()) {
    return damaged("its certificate is for another key");
  }
  loaded.x509 = std::move(*certificate);
  return loaded;
}

Status renew_cross(LoadedAuthority& authority) {
  authority.cross.reset();
  if (!authority.standby || !authority.active->x509) return {};
  MEZ_TRY(auto cross,
          crypto::cross_sign_x509_ca(*authority.active->x509, *authority.standby->x509, authority.standby->key.raw()));
  authority.cross = std::move(cross);
  return {};
}

Result<KeyRing> load_ring(store::Database& database, const SecretBox& box, KeyStore& keys) {
  std::vector<AuthorityRow> rows;
  std::vector<RotationRow> rotations;
  {
    MEZ_TRY(auto reader, database.snapshot());
    MEZ_TRY(rows, load_authorities(reader, box));
    MEZ_TRY(rotations, load_rotations(reader));
  }
  KeyRing ring;
  for (const AuthorityRow& row : rows) {
    MEZ_TRY(AuthorityType type, parse_authority_type(row.type));
    MEZ_TRY(LoadedKey key, load_key(keys, row));
    (row.standing == "active" ? ring.of(type).active : ring.of(type).standby) = std::move(key);
  }
  for (const RotationRow& row : rotations) {
    MEZ_TRY(AuthorityType type, parse_authority_type(row.type));
    ring.of(type).rotation = row.rotation;
    ring.revision = std::max(ring.revision, row.revision);
  }
  for (AuthorityType type : kAuthorityTypes) {
    if (!ring.of(type).active) {
      return fail(ErrorCode::kCorrupt, "the database has no active {} CA: restore a backup", to_text(type));
    }
    MEZ_CHECK(renew_cross(ring.of(type)));
  }
  return ring;
}

}  // namespace mezite::pki
