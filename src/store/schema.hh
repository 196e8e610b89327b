// Every table of the hub, as the list of steps that leads to it. A folder that keeps data adds its steps here and has
// its statements to itself.
#pragma once

#include <span>

#include "store/database.hh"

namespace mezite::store {

// In the order of their versions; lives for ever.
std::span<const Migration> schema();

}  // namespace mezite::store
