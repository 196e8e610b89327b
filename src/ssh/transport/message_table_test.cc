#include "ssh/transport/message_table.hh"

#include <gtest/gtest.h>

#include <algorithm>

#include "ssh/wire/message_number.hh"

namespace mezite::ssh {
namespace {

constexpr Stage kAll[] = {Stage::kKexInit,     Stage::kKexGuess,    Stage::kKexMethod,  Stage::kKexNewKeys,
                          Stage::kService,     Stage::kUserauth,    Stage::kConnection, Stage::kRekeyGuess,
                          Stage::kRekeyMethod, Stage::kRekeyNewKeys};

Action action(Role receiver, Stage stage, int message) {
  return find_transition(receiver, stage, static_cast<std::uint8_t>(message)).action;
}

TEST(MessageTable, ServiceMessagesAreDeliveredInTheirPhaseOnly) {
  for (const Role role : {Role::kServer, Role::kClient}) {
    for (const Stage stage : kAll) {
      for (int message = 0; message < 256; ++message) {
        if (action(role, stage, message) != Action::kDeliver) continue;
        const bool userauth = message >= 50 && message <= 79;
        EXPECT_EQ(stage, userauth ? Stage::kUserauth : Stage::kConnection) << message;
        EXPECT_LE(message, 127);
      }
    }
  }
}

// libssh CVE-2018-10933.
TEST(MessageTable, NoMessageOfAuthenticationIsLegalForBothRoles) {
  for (int message = 50; message <= 79; ++message) {
    EXPECT_FALSE(action(Role::kServer, Stage::kUserauth, message) == Action::kDeliver &&
                 action(Role::kClient, Stage::kUserauth, message) == Action::kDeliver)
        << message;
  }
}

TEST(MessageTable, TheFirstKeyExchangeTakesOneMessageUnderStrictKex) {
  for (const Role role : {Role::kServer, Role::kClient}) {
    for (const Stage stage : {Stage::kKexInit, Stage::kKexMethod, Stage::kKexNewKeys}) {
      int legal = 0;
      for (int message = 2; message < 256; ++message) {
        const auto& transition = find_transition(role, stage, static_cast<std::uint8_t>(message));
        if (transition.action != Action::kRefuse && !transition.refused_when_strict) ++legal;
      }
      EXPECT_EQ(legal, 1) << stage_name(stage);
    }
  }
}

TEST(MessageTable, CompressionCannotBeSwitchedOn) {
  for (const Role role : {Role::kServer, Role::kClient}) {
    for (const Stage stage : kAll) {
      const auto what = action(role, stage, static_cast<int>(MessageNumber::kNewCompress));
      EXPECT_TRUE(what == Action::kRefuse || what == Action::kUnimplemented);
    }
  }
}

TEST(MessageTable, PrintsEveryLegalPairOnce) {
  const std::string text = print_message_table();
  EXPECT_EQ(text, print_message_table());
  EXPECT_NE(text.find("server kex-newkeys  21 SSH_MSG_NEWKEYS"), std::string::npos) << text;
  EXPECT_NE(text.find("client userauth     51-53"), std::string::npos);
  EXPECT_GT(std::ranges::count(text, '\n'), 60);
}

}  // namespace
}  // namespace mezite::ssh
