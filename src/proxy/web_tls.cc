#include "proxy/web_tls.hh"

#include "auth/use/hub_certificate.hh"
#include "base/file.hh"

namespace mezite::proxy {
namespace {

Result<crypto::TlsIdentity> identity_of_files(const auth::Config::Proxy& config) {
  MEZ_TRY(Bytes chain_pem, read_file(config.tls_cert_file, std::size_t{1} << 20));
  MEZ_TRY(Bytes key_pem, read_file(config.tls_key_file, std::size_t{1} << 20));
  auto chain = crypto::X509Certificate::all_from_pem(as_text(chain_pem));
  if (!chain) return wrap(chain.error(), "proxy.tls.cert_file " + config.tls_cert_file.string());
  auto key = crypto::SigningKey::from_pem(as_text(key_pem));
  if (!key) return wrap(key.error(), "proxy.tls.key_file " + config.tls_key_file.string());
  return crypto::TlsIdentity{std::move(*chain), std::move(*key)};
}

Result<crypto::TlsIdentity> identity_for(const auth::Services& services) {
  if (services.config.proxy.tls_mode == auth::TlsMode::kFiles) return identity_of_files(services.config.proxy);
  MEZ_TRY(auth::HubCertificate issued, auth::issue_hub_certificate(services));
  return std::move(issued.identity);
}

}  // namespace

Result<std::shared_ptr<crypto::TlsContext>> make_web_tls(const auth::Services& services) {
  if (services.config.proxy.tls_mode == auth::TlsMode::kOff) return std::shared_ptr<crypto::TlsContext>();
  MEZ_TRY(crypto::TlsIdentity identity, identity_for(services));
  crypto::TlsServerOptions options{.identity = std::move(identity), .alpn = {"http/1.1"}};
  options.clock = &services.clock;
  return crypto::TlsContext::server(std::move(options));
}

Status renew_web_tls(const auth::Services& services, crypto::TlsContext& tls) {
  MEZ_TRY(crypto::TlsIdentity identity, identity_for(services));
  return tls.set_identity(std::move(identity));
}

}  // namespace mezite::proxy
