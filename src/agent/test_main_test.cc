// The test program is its own PAM helper, as mezd is: spawn() starts /proc/self/exe again.
#include <gtest/gtest.h>

#include "agent/agent.hh"
#include "agent/forward/helper_process.hh"
#include "agent/process/spawn.hh"

int main(int argc, char** argv) {
  mezite::agent::run_session_helper(argc, argv);
  mezite::agent::run_forward_helper(argc, argv);
  testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
