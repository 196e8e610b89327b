// Memory of somebody else, into which bytes can be put where they are wanted, in place of being copied there.
#pragma once

#include <cstdint>
#include <memory>
#include <span>

namespace mezite {

struct LentMemory {
  std::span<std::uint8_t> bytes;     // empty: none is lent
  std::shared_ptr<const void> keep;  // as long as this is held, nobody else writes there
};

}  // namespace mezite
