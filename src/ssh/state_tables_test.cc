// The state tables are reviewed as text: a change of theirs shows in the diff of state_tables.txt.
#include <gtest/gtest.h>

#include <fstream>
#include <iterator>

#include "ssh/state_tables.hh"

namespace mezite::ssh {
namespace {

TEST(StateTables, AreTheReviewedOnes) {
  std::ifstream file(MEZITE_STATE_TABLES);
  const std::string reviewed{std::istreambuf_iterator<char>(file), {}};
  ASSERT_FALSE(reviewed.empty()) << MEZITE_STATE_TABLES;
  EXPECT_EQ(state_tables_text(), reviewed) << "If the change is meant, write the new tables and review them: "
                                              "build/bin/ssh_tables > src/ssh/state_tables.txt";
}

// What must hold of any version of them.
TEST(StateTables, SayNothingThatAnIncidentForbids) {
  const std::string text = state_tables_text();
  const auto lines_with = [&text](std::string_view first, std::string_view second) {
    std::size_t count = 0;
    for (std::size_t start = 0; start < text.size();) {
      const std::size_t end = std::min(text.find('\n', start), text.size());
      const std::string_view line = std::string_view(text).substr(start, end - start);
      if (line.starts_with(first) && line.find(second) != std::string_view::npos) ++count;
      start = end + 1;
    }
    return count;
  };
  // libssh CVE-2018-10933: no server takes the message that lets a client in.
  EXPECT_EQ(lines_with("server", "USERAUTH_SUCCESS"), 0u);
  EXPECT_EQ(lines_with("client", "USERAUTH_SUCCESS"), 0u);  // 51-53 stand as a range
  EXPECT_EQ(lines_with("client userauth", "51-53"), 1u);
  EXPECT_EQ(lines_with("server", "51-53"), 0u);
  // Erlang CVE-2025-32433: channels belong to the connection protocol.
  for (const char* stage : {"kexinit", "kex-guess", "kex-method", "kex-newkeys", "service", "userauth"}) {
    for (const char* role : {"server ", "client "}) {
      EXPECT_EQ(lines_with(std::string(role) + stage, "90-"), 0u) << role << stage;
      EXPECT_EQ(lines_with(std::string(role) + stage, "80-"), 0u) << role << stage;
    }
  }
}

}  // namespace
}  // namespace mezite::ssh
