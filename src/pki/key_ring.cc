#include "pki/key_ring.hh"

#include <fmt/format.h>

#include "crypto/derived_key.hh"
#include "ssh/keys/public_key.hh"

namespace mezite::pki {

namespace {

constexpr std::chrono::hours kAuthorityLife{24 * 3652};  // ten years
constexpr std::chrono::hours kAuthorityBackdating{1};

std::string_view subject_of(AuthorityType type) {
  return type == AuthorityType::kHost ? "Mezite Host CA" : "Mezite SPIFFE CA";
}

// A CA's key as what it is underneath.
class RawSigner final : public crypto::Signer {
 public:
  explicit RawSigner(CaKey key) : key_(std::move(key)) {}
  const crypto::VerifyingKey& public_key() const override { return key_.raw().public_key(); }
  Result<Bytes> sign(crypto::SignatureHash hash, BytesView message) const override {
    return key_.raw().sign(hash, message);
  }

 private:
  CaKey key_;
};

Result<std::shared_ptr<const crypto::Signer>> jwt_signer_of(const CaKey& key, const StoredKey& stored) {
  if (key.raw().public_key().algorithm() == crypto::KeyAlgorithm::kEcdsaP256) {
    return std::make_shared<const RawSigner>(key);
  }
  if (stored.private_key.empty()) {
    return fail(ErrorCode::kFailedPrecondition, "a SPIFFE CA whose key is not here must be ECDSA P-256");
  }
  MEZ_TRY(auto ca_key, crypto::SigningKey::from_pkcs8(stored.private_key.view()));
  MEZ_TRY(Secret seed, ca_key.private_raw());
  MEZ_TRY(auto derived, crypto::derive_p256_key(seed.view(), "mezite JWT-SVID 1"));
  return std::make_shared<const crypto::SoftwareSigner>(std::move(derived));
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
    // X509-SVID §3.2: a signing certificate of a trust domain has the ID of that domain.
    if (type == AuthorityType::kSpiffe) spec.uris = {fmt::format("spiffe://{}", cluster_name)};
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
                   .kms = {.alias = row.key.kms_alias, .key_id = keys.key_id(row.key.kms_alias)},
                   .x509 = std::nullopt,
                   .jwt_signer = nullptr,
                   .jwt_key = std::nullopt,
                   .expires_at = row.expires_at};
  if (row.type == "user") return loaded;
  auto certificate = crypto::X509Certificate::from_pem(row.x509_pem);
  if (!certificate) return damaged(certificate.error().message);
  if (certificate->spki_sha256_hex() != loaded.key.raw().public_key().spki_sha256_hex()) {
    return damaged("its certificate is for another key");
  }
  loaded.x509 = std::move(*certificate);
  if (row.type == "spiffe") {
    MEZ_TRY(loaded.jwt_signer, jwt_signer_of(loaded.key, row.key));
    MEZ_TRY(loaded.jwt_key, spiffe::JwtKey::of(loaded.jwt_signer->public_key()));
  }
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
