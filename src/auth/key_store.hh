// The key store that the configuration asks for.
#pragma once

#include <memory>

#include "auth/config.hh"
#include "base/clock.hh"
#include "pki/key_store.hh"
#include "store/database.hh"

namespace mezite::auth {

// With ca.kms.provider the CAs' new keys are made in KMS; without it in the database. Talks to nobody yet. Database and
// clock outlive it. kInvalidArgument: no region.
Result<std::unique_ptr<pki::KeyStore>> open_key_store(const Config& config, store::Database& database,
                                                      const Clock& clock);

}  // namespace mezite::auth
