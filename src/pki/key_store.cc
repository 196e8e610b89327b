#include "pki/key_store.hh"

namespace mezite::pki {

namespace {

class SoftwareKeyStore final : public KeyStore {
 public:
  Result<NewKey> make(std::string_view) override {
    MEZ_TRY(auto key, crypto::SigningKey::generate(crypto::KeyAlgorithm::kEd25519));
    MEZ_TRY(Secret pkcs8, key.to_pkcs8());
    MEZ_TRY(CaKey signer, CaKey::make(std::make_shared<const crypto::SoftwareSigner>(std::move(key))));
    return NewKey{std::move(signer), {std::move(pkcs8), {}}};
  }

  Result<CaKey> open(const StoredKey& stored) override {
    if (!stored.kms_alias.empty()) {
      return fail(ErrorCode::kFailedPrecondition,
                  "the key is in a KMS ({}) and this hub has none: without it a restored hub can't sign; set "
                  "ca.kms.provider and ca.kms.region as they were",
                  stored.kms_alias);
    }
    MEZ_TRY(auto key, crypto::SigningKey::from_pkcs8(stored.private_key.view()));
    return CaKey::make(std::make_shared<const crypto::SoftwareSigner>(std::move(key)));
  }
};

}  // namespace

Result<KeyDeletion> KeyStore::schedule_deletion(const KmsName& key) {
  return fail(ErrorCode::kFailedPrecondition,
              "this hub has no KMS any more: delete the key {} there by hand, or set ca.kms.provider and ca.kms.region "
              "as they were",
              key.key_id);
}

std::unique_ptr<KeyStore> software_key_store() { return std::make_unique<SoftwareKeyStore>(); }

}  // namespace mezite::pki
