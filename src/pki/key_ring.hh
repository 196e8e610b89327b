// The keys of the three CAs at one moment. Inside src/pki/ only.
#pragma once

#include <array>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "pki/authority.hh"
#include "pki/authority_rows.hh"
#include "pki/rotation.hh"

namespace mezite::pki {

inline constexpr std::array kAuthorityTypes{AuthorityType::kUser, AuthorityType::kHost, AuthorityType::kSpiffe};

struct LoadedKey {
  std::int64_t generation = 1;
  CaKey key;
  KmsName kms;
  std::optional<crypto::X509Certificate> x509;  // none for the user CA
  // Of the SPIFFE CA: what signs tokens. With a key in KMS that key; else one that follows from it, since JWT-SVIDs
  // know no Ed25519.
  std::shared_ptr<const crypto::Signer> jwt_signer;
  std::optional<spiffe::JwtKey> jwt_key;
  SystemTime expires_at;

  std::string fingerprint() const { return key.public_key().fingerprint(); }
};

struct LoadedAuthority {
  std::optional<LoadedKey> active, standby;
  Rotation rotation;
  // While there is a standby key: the active CA's certificate once more, signed by the standby key. With it in its
  // chain the hub is believed by those who know only the standby key. None for the user CA.
  std::optional<crypto::X509Certificate> cross;
};

// Immutable once it is in an Authority.
struct KeyRing {
  std::array<LoadedAuthority, 3> authorities;
  std::int64_t revision = 0;  // of the last change of a key

  const LoadedAuthority& of(AuthorityType type) const { return authorities[static_cast<std::size_t>(type)]; }
  LoadedAuthority& of(AuthorityType type) { return authorities[static_cast<std::size_t>(type)]; }
};

// A new key and its certificate as a row. Not in a transaction: the key store may be across a network.
Result<AuthorityRow> mint_authority(KeyStore& keys, AuthorityType type, std::string_view cluster_name, SystemTime now);

Result<LoadedKey> load_key(KeyStore& keys, const AuthorityRow& row);
// Everything that is stored, checked.
Result<KeyRing> load_ring(store::Database& database, const SecretBox& box, KeyStore& keys);

// Makes or forgets the cross certificate, after a change of keys. Signs.
Status renew_cross(LoadedAuthority& authority);

struct Authority::State {
  std::string cluster_name;
  const Clock* clock = nullptr;
  bool created_now = false;
  std::mutex stepping;  // one step of a rotation at a time

  std::shared_ptr<const KeyRing> ring() const {
    std::lock_guard lock(mutex_);
    return ring_;
  }
  void put(std::shared_ptr<const KeyRing> ring) {
    std::lock_guard lock(mutex_);
    ring_ = std::move(ring);
  }

 private:
  mutable std::mutex mutex_;
  std::shared_ptr<const KeyRing> ring_;
};

}  // namespace mezite::pki
