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
  ReloadingCredentials(TlsMaterialSource source, const Clock& clock, TlsMaterial first)
      : source_(std::move(source)), clock_(clock), material_(std::move(first)) {
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
    std::lock_guard lock(mutex_);
    bool due = clock_.now() >= material_.renew_at || (material_.outdated && material_.outdated());
    if (given_ && !due) return GRPC_SSL_CERTIFICATE_CONFIG_RELOAD_UNCHANGED;
    if (due) {
      Result<TlsMaterial> renewed = source_();
      if (!renewed) {
        log::error("the gRPC listener's certificate could not be renewed", {{"error", renewed.error()}});
        return given_ ? GRPC_SSL_CERTIFICATE_CONFIG_RELOAD_UNCHANGED : GRPC_SSL_CERTIFICATE_CONFIG_RELOAD_FAIL;
      }
      material_ = std::move(*renewed);
    }
    std::string key(material_.key_pem.text());
    grpc_ssl_pem_key_cert_pair pair{key.c_str(), material_.chain_pem.c_str()};
    *config = grpc_ssl_server_certificate_config_create(material_.client_roots_pem.c_str(), &pair, 1);
    wipe(key);
    given_ = true;
    return GRPC_SSL_CERTIFICATE_CONFIG_RELOAD_NEW;
  }

  TlsMaterialSource source_;
  const Clock& clock_;
  std::mutex mutex_;
  TlsMaterial material_;
  bool given_ = false;
  grpc_server_credentials* credentials_ = nullptr;
};

}  // namespace

Result<std::shared_ptr<grpc::ServerCredentials>> make_tls_credentials(TlsMaterialSource source, const Clock& clock) {
  MEZ_TRY(TlsMaterial first, source());
  return std::make_shared<ReloadingCredentials>(std::move(source), clock, std::move(first));
}

void allow_only_tls13() { ::setenv("GRPC_SSL_CIPHER_SUITES", "PSK-AES256-GCM-SHA384", 1); }

}  // namespace mezite::auth::rpc
