#include "proxy/denial.hh"

#include "base/log.hh"
#include "base/text.hh"

namespace mezite::proxy {

std::string deny(Context& context, const Denial& denial, const std::string& client_ip, std::string_view listener) {
  audit::Event event = audit::make_event(denial.kind, context.services.clock);
  event.user_name = denial.user.substr(0, 256);
  event.user_roles = denial.roles;
  event.resource_type = "node";
  event.resource_name = denial.node_name.substr(0, 256);
  event.server_id = denial.node_id;
  if (!denial.node_id.empty()) event.server_hostname = denial.node_name;
  event.client_ip = client_ip;
  event.error_message = denial.explanation.substr(0, 1024);
  event.details = audit::Details().add("reason", denial.reason).add("listener", listener).text();
  log::info("access denied", {{"event", event.id},
                              {"user", denial.user},
                              {"node", denial.node_name},
                              {"client", client_ip},
                              {"reason", denial.reason}});
  std::string text = fmt::format("{} (event {})", denial.user_text, event.id);
  context.record(std::move(event));
  return text;
}

Denial denial_of_certificate(const ssh::CertificateRefusal& refusal, const ssh::Certificate& certificate) {
  using ssh::CertificateRefusalReason;
  Denial denial;
  denial.reason = std::string(ssh::certificate_refusal_name(refusal.reason));
  denial.explanation = refusal.message;
  denial.user = certificate.key_id();
  switch (refusal.reason) {
    case CertificateRefusalReason::kUnknownCa:
      denial.kind = audit::EventKind::kAccessDeniedForeignCa;
      denial.explanation = fmt::format("the certificate of key id '{}' was signed by an unknown CA, {}",
                                       printable(certificate.key_id()), certificate.signature_key().fingerprint());
      break;
    case CertificateRefusalReason::kExpired:
      denial.kind = audit::EventKind::kAccessDeniedExpired;
      denial.user_text = "ssh: certificate expired; log in again: msh login";
      break;
    case CertificateRefusalReason::kNotYetValid:
      denial.kind = audit::EventKind::kAccessDeniedNotYetValid;
      denial.user_text = "ssh: certificate not yet valid; check this machine's clock";
      break;
    case CertificateRefusalReason::kSourceAddress: denial.kind = audit::EventKind::kAccessDeniedSourceAddress; break;
    case CertificateRefusalReason::kPrincipal: denial.kind = audit::EventKind::kAccessDeniedWrongPrincipal; break;
    case CertificateRefusalReason::kBadSignature:
    case CertificateRefusalReason::kWrongType:
    case CertificateRefusalReason::kCriticalOption: denial.kind = audit::EventKind::kAccessDeniedCertificate; break;
  }
  return denial;
}

}  // namespace mezite::proxy
