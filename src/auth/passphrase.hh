// Changing the passphrase that the database's secrets are under.
#pragma once

#include "auth/caller.hh"
#include "auth/services.hh"
#include "base/secret.hh"

namespace mezite::auth {

// As SecretBox::change_passphrase. Audited as ca.passphrase.changed, a failure as well; a hub that ends before the
// event is written writes it at its next start. From then on the hub starts with the new passphrase only.
Status change_passphrase(Services& services, const Caller& caller, const Secret& old_passphrase,
                         const Secret& new_passphrase);

// Writes the event that a crash kept from being written. Once, at start.
Status settle_passphrase_change(Services& services);

}  // namespace mezite::auth
