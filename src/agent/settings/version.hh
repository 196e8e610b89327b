// The version of this build.
#pragma once

namespace mezite::agent {

const char* version();  // "0.1.0"

}  // namespace mezite::agent
