#include "crypto/exit_handler.hh"

#include <gtest/gtest.h>
#include <openssl/crypto.h>
#include <unistd.h>

#include <cstdlib>

#include "crypto/random.hh"

namespace mezite::crypto {
namespace {

// Called by OPENSSL_cleanup and by nothing else.
void tell() { [[maybe_unused]] auto written = ::write(STDERR_FILENO, "openssl ends\n", 13); }

[[noreturn]] void use_openssl_and_exit() {
  OPENSSL_atexit(&tell);
  [[maybe_unused]] auto used = random_u64();
  std::exit(0);
}

class ExitHandler : public ::testing::Test {
 protected:
  // Each child is this program from its start: which call of OpenSSL is the first one matters.
  void SetUp() override { ::testing::FLAGS_gtest_death_test_style = "threadsafe"; }
};

TEST_F(ExitHandler, RunsUnlessItIsSkipped) {
  EXPECT_EXIT(use_openssl_and_exit(), ::testing::ExitedWithCode(0), "openssl ends");
}

// A leak of the generators of gRPC's threads was reported at the end of agents.
TEST_F(ExitHandler, IsSkipped) {
  EXPECT_EXIT(
      {
        skip_openssl_exit_handler();
        use_openssl_and_exit();
      },
      ::testing::ExitedWithCode(0), "^$");
}

}  // namespace
}  // namespace mezite::crypto
