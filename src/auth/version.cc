#include "auth/version.hh"

namespace mezite::auth {

const char* version() { return MEZITE_VERSION; }

}  // namespace mezite::auth
