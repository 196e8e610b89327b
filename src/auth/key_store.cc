#include "auth/key_store.hh"

#include "aws/kms.hh"
#include "pki/kms_key_store.hh"

namespace mezite::auth {

Result<std::unique_ptr<pki::KeyStore>> open_key_store(const Config& config, store::Database& database,
                                                      const Clock& clock) {
  if (config.kms.provider.empty()) return pki::software_key_store();
  const aws::Environment environment = aws::process_environment();
  aws::KmsOptions options{.region = config.kms.region, .endpoint = config.kms.endpoint, .call = {}};
  for (const char* variable : {"AWS_REGION", "AWS_DEFAULT_REGION"}) {
    if (options.region.empty()) options.region = environment(variable).value_or("");
  }
  MEZ_TRY(std::shared_ptr<aws::Kms> kms,
          aws::Kms::open(std::move(options), std::make_shared<aws::CredentialChain>(environment, clock), clock));
  pki::KmsKeyOptions keys{.cluster_name = config.cluster_name, .tags = config.kms.key_tags};
  return pki::kms_key_store(std::move(kms), database, std::move(keys));
}

}  // namespace mezite::auth
