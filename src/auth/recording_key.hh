// The hub's own key for recordings: agents seal to it what the chain of a recording is verified with.
#pragma once

#include "base/clock.hh"
#include "pki/secret_box.hh"
#include "recording/recipient.hh"
#include "store/database.hh"

namespace mezite::auth {

// The same for all hubs of one store: the first one makes it. In the database it is sealed like every secret.
Result<recording::Identity> open_recording_key(store::Database& database, const pki::SecretBox& box,
                                               const Clock& clock);

}  // namespace mezite::auth
