// The messages of the three SSH layers, in the order of their RFCs.
#pragma once

#include "ssh/wire/connection_messages.hh"  // IWYU pragma: export
#include "ssh/wire/transport_messages.hh"   // IWYU pragma: export
#include "ssh/wire/userauth_messages.hh"    // IWYU pragma: export
