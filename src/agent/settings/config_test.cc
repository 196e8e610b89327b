#include "agent/settings/config.hh"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace mezite::agent {
namespace {

using testing::AllOf;
using testing::HasSubstr;

Environment variables(std::map<std::string, std::string> values) {
  return [values = std::move(values)](const char* name) -> std::optional<std::string> {
    auto found = values.find(name);
    if (found == values.end()) return std::nullopt;
    return found->second;
  };
}

std::string refused(std::string_view text, std::map<std::string, std::string> values = {}) {
  Result<Config> config = parse_config(text, "mezd.yaml", variables(std::move(values)));
  EXPECT_FALSE(config);
  return config ? "" : config.error().message;
}

TEST(Config, DefaultsAreThisMachine) {
  Result<Config> config = parse_config("", "mezd.yaml", variables({}));
  ASSERT_TRUE(config) << config.error().message;
  EXPECT_EQ(config->auth_addr.text(), "localhost:3025");
  EXPECT_EQ(config->proxy_addr.text(), "localhost:3024");
  EXPECT_EQ(config->data_dir, "/var/lib/mezite");
  EXPECT_FALSE(config->node_name.empty());
  EXPECT_EQ(config->spool_max_bytes, std::uint64_t{10} << 30);
}

TEST(Config, EnvironmentGoesOverTheFile) {
  Result<Config> config = parse_config(
      "auth_addr: hub.example:4025\n"
      "proxy_addr: hub.example\n"
      "node_name: web-01\n"
      "labels: {env: prod, team: db}\n"
      "command_labels:\n  kernel: {command: [uname, -r], period: 1h}\n"
      "spool_max_bytes: 2GiB\n"
      "on_recording_failure: refuse\n",
      "mezd.yaml",
      variables({{"MEZITE_AUTH_ADDR", ":5025"}, {"MEZITE_LABELS", "env=dev, zone = a"}, {"MEZITE_LOG_LEVEL", "x"}}));
  ASSERT_TRUE(config) << config.error().message;
  EXPECT_EQ(config->auth_addr.text(), "localhost:5025");
  EXPECT_EQ(config->proxy_addr.text(), "hub.example:3024");
  EXPECT_EQ(config->node_name, "web-01");
  EXPECT_EQ(config->labels, (Labels{{"env", "dev"}, {"team", "db"}, {"zone", "a"}}));
  ASSERT_EQ(config->command_labels.size(), 1u);
  EXPECT_EQ(config->command_labels[0].period, std::chrono::hours(1));
  EXPECT_EQ(config->spool_max_bytes, std::uint64_t{2} << 30);
  EXPECT_EQ(config->on_recording_failure, OnRecordingFailure::kRefuse);
}

TEST(Config, ErrorsNameFileLineKeyAndWhatIsAccepted) {
  EXPECT_THAT(refused("data_dir: /x\nauth_adr: hub\n"),
              AllOf(HasSubstr("mezd.yaml:2: auth_adr: unknown key"), HasSubstr("auth_addr, proxy_addr")));
  EXPECT_THAT(refused("\n\nauth_addr: [a]\n"),
              AllOf(HasSubstr("mezd.yaml:3: auth_addr: a list is of the wrong type"), HasSubstr("HOST:PORT")));
  EXPECT_THAT(refused("auth_addr: hub:99999"), HasSubstr("mezd.yaml:1: auth_addr: bad value 'hub:99999'"));
  EXPECT_THAT(refused("data_dir: relative"), HasSubstr("an absolute path"));
  EXPECT_THAT(refused("labels: [a, b]"), HasSubstr("mezd.yaml:1: labels: a list is not a map"));
  EXPECT_THAT(refused("labels:\n  env: prod\n  'b d': x\n"), HasSubstr("mezd.yaml:3: labels.b d"));
  EXPECT_THAT(refused("tls_wrap: maybe"), HasSubstr("true or false"));
  EXPECT_THAT(refused("spool_max_bytes: lots"), HasSubstr("KiB"));
  EXPECT_THAT(refused("node_name: 'a b'"), HasSubstr("a host name"));
  EXPECT_THAT(refused("data_dir: /a\ndata_dir: /b\n"), HasSubstr("mezd.yaml:2: data_dir: given twice"));
  EXPECT_THAT(refused("just text"), HasSubstr("not a map"));
  EXPECT_THAT(refused("a: [1, 2\nb: 3"), HasSubstr("mezd.yaml:"));
  EXPECT_THAT(refused("command_labels: {k: {period: 1m}}"), HasSubstr("command is missing"));
  EXPECT_THAT(refused("command_labels: {k: {command: [x], period: soon}}"), HasSubstr("command_labels.k.period"));
  EXPECT_THAT(refused("labels: {k: v}\ncommand_labels: {k: {command: [x]}}"), HasSubstr("both"));
  EXPECT_THAT(refused("", {{"MEZITE_LABELS", "env"}}), HasSubstr("MEZITE_LABELS: 'env' is not name=value"));
  EXPECT_THAT(refused("", {{"MEZITE_CA_PIN", "sha256:12"}}), HasSubstr("MEZITE_CA_PIN"));
}

TEST(Config, SecretsAreNotShownInErrors) {
  EXPECT_THAT(refused("join_token: [hunter2]"), testing::Not(HasSubstr("hunter2")));
}

TEST(Config, ControlCharactersCanNotForgeLines) {
  EXPECT_THAT(refused("\"a\\nb\": 1"), testing::Not(HasSubstr("\n")));
  EXPECT_FALSE(parse_labels("env=\x1b[2J"));
}

TEST(Config, AFileThatWasAskedForMustBeThere) {
  Result<Config> config = load_config("/nonexistent/mezd.yaml", variables({}));
  ASSERT_FALSE(config);
  EXPECT_THAT(config.error().message, HasSubstr("/nonexistent/mezd.yaml"));
}

TEST(Labels, CommandsGiveTheirFirstLine) {
  Config config;
  config.labels = {{"env", "dev"}};
  config.command_labels = {{.name = "greeting", .command = {"printf", "hello\\nworld"}},
                           {.name = "broken", .command = {"false"}},
                           {.name = "missing", .command = {"/nonexistent/program"}},
                           {.name = "hostile", .command = {"printf", "a\\033[2Jb"}}};
  EXPECT_EQ(
      evaluate_labels(config),
      (Labels{{"env", "dev"}, {"greeting", "hello"}, {"broken", ""}, {"missing", ""}, {"hostile", "a\\x1b[2Jb"}}));
}

TEST(Labels, CommandsSeeNoSecretOfTheAgent) {
  ::setenv("MEZITE_JOIN_TOKEN", "secret", 1);
  Config config;
  config.command_labels = {{.name = "leak", .command = {"sh", "-c", "echo x$MEZITE_JOIN_TOKEN"}}};
  EXPECT_EQ(evaluate_labels(config)["leak"], "x");
  ::unsetenv("MEZITE_JOIN_TOKEN");
}

}  // namespace
}  // namespace mezite::agent
