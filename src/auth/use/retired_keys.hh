// Keys of CAs that were rotated out and are still in a KMS.
#pragma once

#include "auth/services.hh"

namespace mezite::auth {

// Has the KMS delete them, and tells the audit log what has become of each (ca.key.retired). Blocks; what fails is
// tried again by the next call and shown by `mezctl ca status`: nothing else depends on it.
void settle_retired_keys(Services& services);

}  // namespace mezite::auth
