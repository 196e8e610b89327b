// Where secret-dependent values become public by design. Nothing happens here, but in the check that no branch and no
// index depends on a secret (tests/constant_time), which is built with MEZITE_CONSTANT_TIME_CHECK: there valgrind
// forgets that the value came from secrets.
#pragma once

#ifdef MEZITE_CONSTANT_TIME_CHECK
#include <valgrind/memcheck.h>
#endif

namespace mezite::crypto {

template <class T>
void declassify([[maybe_unused]] T& value) {
#ifdef MEZITE_CONSTANT_TIME_CHECK
  VALGRIND_MAKE_MEM_DEFINED(&value, sizeof value);
#endif
}

}  // namespace mezite::crypto
