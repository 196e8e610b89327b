// Who may enter: certificate, locks, roles. Pure: everything that counts is an argument.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "access/decide.hh"
#include "agent/session/snapshot.hh"
#include "audit/catalogue.hh"
#include "base/clock.hh"
#include "ssh/keys/certificate.hh"
#include "ssh/keys/certificate_check.hh"
#include "ssh/userauth/auth.hh"

namespace mezite::agent {

// This node, as roles and locks know it.
struct NodeFacts {
  std::string node_id;
  std::string node_name;
  std::string hostname;
  access::Labels labels;
};

// A user who was let in, as the certificate and the roles say.
struct Principal {
  std::string user;
  std::vector<std::string> roles;  // names in the certificate
  access::Traits traits;
  std::string login;
  access::SessionOptions options;
  ssh::Restrictions restrictions;  // certificate and roles together
  SystemTime valid_before = SystemTime::max();

  bool operator==(const Principal&) const = default;
};

struct Denial {
  audit::EventKind kind = audit::EventKind::kAccessDenied;
  std::string reason;       // a short name for machines: "unknown_ca", "login_not_allowed"
  std::string explanation;  // for administrators: why, with the roles that decided
  std::string user_text;    // for the user; tells nothing about roles
  std::string user;         // who it is, as far as that is known
  std::vector<std::string> roles;
  std::vector<std::string> steps;
};

struct Admission {
  std::optional<Principal> principal;
  Denial denial;  // counts when there is no principal
};

struct AdmissionRequest {
  const ssh::Certificate& certificate;
  std::string_view login;
  std::string_view client_ip;  // where the user really is
  SystemTime now;
};

// The whole of it: signature, CA, type, time, principal, source address, locks, roles, labels, logins.
Admission admit(const AdmissionRequest& request, const Snapshot& snapshot, const NodeFacts& node,
                ssh::SignatureCache* cache = nullptr);

// Again for somebody who is in: whether locks and roles still let them be, and what they leave allowed. Restrictions
// only grow: what a certificate was admitted without, it gets by a new connection.
struct Reconsidered {
  std::optional<Denial> denial;
  Principal principal;  // counts when there is no denial
};
Reconsidered reconsider(const Principal& principal, const Snapshot& snapshot, const NodeFacts& node, SystemTime now);

}  // namespace mezite::agent
