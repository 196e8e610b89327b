// An audit event that the hub will never take, whenever it comes.
#pragma once

#include <cstddef>
#include <string>

namespace mezite::agent {

struct RefusedEvent {
  std::size_t index = 0;  // in the call
  std::string problem;    // as the hub puts it; made safe to show
};

}  // namespace mezite::agent
