// Revoking user certificates before their time.
#pragma once

#include <string>
#include <vector>

#include "auth/caller.hh"
#include "auth/services.hh"

namespace mezite::auth {

// Exactly one of the three is set.
struct RevocationOrder {
  std::string serial;  // decimal
  std::string
      key_id;        // every certificate with it, also those to come: a user's name is the key id of their certificates
  std::string user;  // every certificate that this user was given and that has not ended; a new login gives a good one
  std::string reason;
};

// Agents know of it at once, and refuse new logins; sessions that run stay. Gives what is new. cert.revoked. kNotFound:
// the user holds no certificate.
Result<std::vector<pki::Revocation>> revoke_certificates(Services& services, const Caller& caller,
                                                         const RevocationOrder& order);

// cert.unrevoked.
Status lift_revocation(Services& services, const Caller& caller, std::string_view id);

// In OpenSSH's format, for RevokedKeys of sshd.
Result<Bytes> export_krl(Services& services);

}  // namespace mezite::auth
