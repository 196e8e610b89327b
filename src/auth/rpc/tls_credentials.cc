#include "auth/rpc/tls_credentials.hh"

#include <grpc/grpc_security.h>
#include <grpcpp/security/server_credentials.h>
#include <stdlib.h>

#include <mutex>

#include "base/log.hh"

namespace mezite::auth::rpc {
namespace {

class ReloadingCredentials final : public grpc::ServerCredentials {
 public:
  explicit ReloadingCredentials(std::shared_ptr<HubCertificates> certificates)
      : certificates_(std::move(certificates)) {
    credentials_ =
        grpc_ssl_server_credentials_create_with_options(grpc_ssl_server_credentials_create_options_using_config_fetcher(
            GRPC_SSL_REQUEST_CLIENT_CERTIFICATE_AND_VERIFY, &ReloadingCredentials::fetch, this));
  }
  ~ReloadingCredentials() override { grpc_server_credentials_release(credentials_); }

  void SetAuthMetadataProcessor(const std::shared_ptr<grpc::AuthMetadataProcessor>& /*processor*/) override {}

 private:
  int AddPortToServer(const std::string& address, grpc_server* server) override {
    return grpc_server_add_http2_port(server, address.c_str(), credentials_);
  }

  static grpc_ssl_certificate_config_reload_status fetch(void* self, grpc_ssl_server_certificate_config** config) {
    return static_cast<ReloadingCredentials*>(self)->fetch(config);
  }

  grpc_ssl_certificate_config_reload_status fetch(grpc_ssl_server_certificate_config** config) {
    const std::lock_guard lock(mutex_);
    auto certificate = certificates_->get();
    if (certificate && *certificate == given_) return GRPC_SSL_CERTIFICATE_CONFIG_RELOAD_UNCHANGED;
    auto key = certificate ? (*certificate)->identity.key.to_pem() : std::unexpected(certificate.error());
    if (!key) {
      log::error("the gRPC listener's certificate could not be renewed", {{"error", key.error()}});
      return given_ ? GRPC_SSL_CERTIFICATE_CONFIG_RELOAD_UNCHANGED : GRPC_SSL_CERTIFICATE_CONFIG_RELOAD_FAIL;
    }
    given_ = *certificate;
    std::string key_pem(key->text());
    const std::string chain_pem = crypto::to_pem(given_->identity.chain);
    const grpc_ssl_pem_key_cert_pair pair{key_pem.c_str(), chain_pem.c_str()};
    *config = grpc_ssl_server_certificate_config_create(crypto::to_pem(given_->client_roots).c_str(), &pair, 1);
    wipe(key_pem);
    return GRPC_SSL_CERTIFICATE_CONFIG_RELOAD_NEW;
  }

  const std::shared_ptr<HubCertificates> certificates_;
  std::mutex mutex_;
  std::shared_ptr<const HubCertificate> given_;
  grpc_server_credentials* credentials_ = nullptr;
};

}  // namespace

Result<std::shared_ptr<grpc::ServerCredentials>> make_tls_credentials(std::shared_ptr<HubCertificates> certificates) {
  MEZ_CHECK(certificates->get());
  return std::make_shared<ReloadingCredentials>(std::move(certificates));
}

void allow_only_tls13() { ::setenv("GRPC_SSL_CIPHER_SUITES", "PSK-AES256-GCM-SHA384", 1); }

}  // namespace mezite::auth::rpc
