#include "agent/hub/balancer.hh"

#include "base/file.hh"
#include "crypto/tls.hh"
#include "net/tls_tunnel.hh"

namespace mezite::agent {
namespace {

constexpr std::size_t kMaxRootsBytes = std::size_t{4} << 20;
// Debian and those after it; Red Hat and those after it.
constexpr const char* kSystemRoots[] = {"/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt"};

}  // namespace

Result<std::string> balancer_roots(const std::filesystem::path& ca_file) {
  if (!ca_file.empty()) {
    auto content = read_file(ca_file, kMaxRootsBytes);
    if (!content) return fail(content.error().code, "MEZITE_TLS_CA_FILE: {}", content.error().message);
    return to_text(*content);
  }
  for (const char* path : kSystemRoots) {
    if (auto content = read_file(path, kMaxRootsBytes)) return to_text(*content);
  }
  return fail(ErrorCode::kNotFound,
              "MEZITE_TLS_WRAP: this system has no list of public CAs ({}); install ca-certificates or set "
              "MEZITE_TLS_CA_FILE",
              kSystemRoots[0]);
}

Result<BalancerTls> BalancerTls::of(const std::string& roots_pem) {
  auto roots = crypto::X509Certificate::all_from_pem(roots_pem);
  if (!roots) return fail(roots.error().code, "MEZITE_TLS_CA_FILE: {}", roots.error().message);
  crypto::TlsClientOptions options;
  options.trust = crypto::TlsTrust::root_set(std::move(*roots));
  BalancerTls tls;
  MEZ_TRY(tls.context_, crypto::TlsContext::client(std::move(options)));
  return tls;
}

Result<UniqueFd> BalancerTls::wrap(net::Shard& shard, UniqueFd connected, const std::string& host) const {
  if (!context_) return connected;
  MEZ_TRY(auto engine, crypto::TlsEngine::connect(context_, host));
  return net::open_tls_tunnel(shard, std::move(connected), std::move(engine));
}

}  // namespace mezite::agent
