#include "agent/settings/version.hh"

namespace mezite::agent {

const char* version() { return MEZITE_VERSION; }

}  // namespace mezite::agent
