// Refusals: one audit event each, and the few words that a user is told.
#pragma once

#include <string>
#include <vector>

#include "audit/event.hh"
#include "proxy/context.hh"
#include "ssh/keys/certificate_check.hh"

namespace mezite::proxy {

struct Denial {
  audit::EventKind kind = audit::EventKind::kAccessDenied;
  std::string reason;                       // for machines: "unknown_ca"
  std::string explanation;                  // for administrators; may hold hostile text
  std::string user_text = "access denied";  // for who was refused
  std::string user;
  std::vector<std::string> roles;
  std::string node_name;  // or what was asked for in its place
  std::string node_id;
};

// Writes the event. Gives the user's text with the event's id behind it: "access denied (event 5b1c…)".
std::string deny(Context& context, const Denial& denial, const std::string& client_ip, std::string_view listener);

// What a refused certificate is called in the audit log, and what its owner reads.
Denial denial_of_certificate(const ssh::CertificateRefusal& refusal, const ssh::Certificate& certificate);

}  // namespace mezite::proxy
