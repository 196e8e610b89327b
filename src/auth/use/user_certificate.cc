#include "auth/use/user_certificate.hh"

#include <algorithm>

#include "access/decide.hh"
#include "auth/record.hh"
#include "base/text.hh"

namespace mezite::auth {
namespace {

pki::Permit permit(bool yes) { return yes ? pki::Permit::kYes : pki::Permit::kNo; }

Status refuse(Services& services, const Caller& caller, std::string message) {
  audit::Event event = event_by(services, caller, audit::EventKind::kAuthzDenied);
  event.resource_type = "user_certificate";
  event.resource_name = caller.name;
  event.error_message = message;
  MEZ_CHECK(record(services, event));
  return std::unexpected(Error{ErrorCode::kPermissionDenied, std::move(message)});
}

}  // namespace

std::chrono::seconds user_certificate_ttl(std::optional<std::chrono::milliseconds> asked,
                                          std::chrono::milliseconds roles_limit) {
  std::chrono::milliseconds ttl = asked.value_or(kDefaultUserCertificateTtl);
  ttl = std::min<std::chrono::milliseconds>(ttl, pki::kMaxUserTtl);
  ttl = std::min(ttl, roles_limit);
  return std::max(std::chrono::duration_cast<std::chrono::seconds>(ttl), kLeastUserCertificateTtl);
}

Result<IssuedUserCertificate> issue_user_certificate(Services& services, const Caller& caller,
                                                     const UserCertificateOrder& order) {
  if (caller.kind != Caller::Kind::kUser) {
    return fail(ErrorCode::kPermissionDenied, "only a user who is logged in gets a user certificate; log in first");
  }
  if (order.ttl && *order.ttl < kLeastUserCertificateTtl) {
    return fail(ErrorCode::kInvalidArgument, "the certificate's life must be at least a second; ask for more");
  }
  Result<ssh::PublicKey> key = ssh::PublicKey::from_text(order.public_key);
  if (!key) {
    return fail(ErrorCode::kInvalidArgument, "the public key is not usable: {}; make one with ssh-keygen -t ed25519",
                key.error().message);
  }
  access::SessionOptions options = access::merged_options(caller.roles);
  std::vector<std::string> logins = access::certificate_logins(caller.roles, caller.traits);
  if (logins.empty()) {
    MEZ_CHECK(
        refuse(services, caller,
               fmt::format("{} may log in nowhere: no login is allowed by {}; ask an administrator for a role "
                           "with logins",
                           caller.name,
                           caller.role_names.empty() ? "any role" : "the roles " + join(caller.role_names, ", "))));
  }
  if (logins.size() > ssh::Certificate::kMaxPrincipals) {
    MEZ_CHECK(
        refuse(services, caller,
               fmt::format("the roles of {} allow {} logins, more than the {} that a certificate can hold; ask an "
                           "administrator to narrow them",
                           caller.name, logins.size(), ssh::Certificate::kMaxPrincipals)));
  }
  if (options.pin_source_ip && caller.client_ip.empty()) {
    return fail(ErrorCode::kFailedPrecondition,
                "your roles pin certificates to your address, which the hub cannot see here; log in over the network");
  }
  pki::UserCertificateRequest request{.user = caller.name, .public_key = *key, .logins = logins};
  request.roles = caller.role_names;
  request.traits = caller.traits;
  request.ttl = user_certificate_ttl(order.ttl, options.max_session_ttl);
  if (options.pin_source_ip) {
    request.source_address = caller.client_ip + (caller.client_ip.find(':') == std::string::npos ? "/32" : "/128");
  }
  request.port_forwarding = permit(options.port_forwarding);
  request.agent_forwarding = permit(options.agent_forwarding);
  request.x11_forwarding = permit(options.x11_forwarding);
  request.login_time = caller.logged_in_at;
  MEZ_TRY(ssh::Certificate certificate, services.authority->sign_user_certificate(request));

  IssuedUserCertificate issued;
  issued.certificate = certificate.to_text();
  issued.expires_at = from_unix_seconds(static_cast<std::int64_t>(certificate.valid_before()));
  issued.logins = logins;
  issued.source_address = request.source_address;
  audit::Event event = event_by(services, caller, audit::EventKind::kUserCertIssued);
  event.resource_type = "user";
  event.resource_name = caller.name;
  event.details = audit::Details()
                      .add("serial", std::to_string(certificate.serial()))
                      .add("public_key", key->fingerprint())
                      .add("logins", logins)
                      .add("expires_at", to_rfc3339(issued.expires_at))
                      .add("source_address", request.source_address)
                      .text();
  // Recorded before it is handed out: a certificate that nobody knows of must not exist.
  MEZ_CHECK(record(services, event));
  return issued;
}

}  // namespace mezite::auth
