#include "auth/config.hh"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <map>

#include "auth/config_file.hh"
#include "auth/config_keys.hh"
#include "base/file.hh"

namespace mezite::auth {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

class ConfigTest : public ::testing::Test {
 protected:
  ConfigTest() {
    char name[] = "/tmp/mezite-config-XXXXXX";
    folder_ = ::mkdtemp(name);
    file_ = folder_ / "mezite.yaml";
  }
  ~ConfigTest() override { std::filesystem::remove_all(folder_); }

  Result<Config> load(std::string_view text) {
    EXPECT_TRUE(write_file(file_, as_bytes(text)));
    return load_config(file_, environment());
  }
  Environment environment() {
    return [this](std::string_view name) -> std::optional<std::string> {
      auto it = variables_.find(std::string(name));
      if (it == variables_.end()) return std::nullopt;
      return it->second;
    };
  }
  std::string problem(std::string_view text) {
    Result<Config> loaded = load(text);
    return loaded ? "(accepted)" : loaded.error().message;
  }

  std::filesystem::path folder_, file_;
  std::map<std::string, std::string> variables_;
};

TEST_F(ConfigTest, DefaultsAreThoseOfTheContract) {
  Result<Config> config = load("");
  ASSERT_TRUE(config) << config.error().message;
  EXPECT_EQ(config->data_dir, "/var/lib/mezite");
  EXPECT_EQ(config->database_path(), "/var/lib/mezite/mezhub.db");
  EXPECT_EQ(config->auth.listen_addr.text(), "0.0.0.0:3025");
  EXPECT_EQ(config->proxy.listen_addr.port, 3080);
  EXPECT_EQ(config->proxy.listen_addr.host, "");
  EXPECT_EQ(config->proxy.ssh_listen_addr.port, 3023);
  EXPECT_EQ(config->proxy.tunnel_listen_addr.port, 3024);
  EXPECT_EQ(config->proxy.public_addr.port, 3080);
  EXPECT_FALSE(config->proxy.public_addr.host.empty());
  EXPECT_EQ(config->proxy.oidc_issuer_url, "https://" + config->proxy.public_addr.text());
  EXPECT_FALSE(config->cluster_name.empty());
  EXPECT_TRUE(config->ca_key_passphrase.empty());
  EXPECT_EQ(config->redacted_dsn(), "sqlite:/var/lib/mezite/mezhub.db");
  EXPECT_GE(config->database.pool_size, 2U);
}

TEST_F(ConfigTest, FileThenEnvironment) {
  variables_ = {{"MEZITE_LOG_LEVEL", "error"},
                {"MEZITE_CA_KEY_PASSPHRASE", "from the environment"},
                {"MEZITE_PROXY_SSH_LISTEN_ADDR", "127.0.0.1:4023"},
                {"MEZITE_LOG_FORMAT", ""}};
  Result<Config> config = load(
      "cluster_name: prod.example\nlog: {level: debug, format: text}\nca_key_passphrase: from the file\n"
      "auth:\n  listen_addr: \"[::1]:4025\"\nrecording.mode: off\n");
  ASSERT_TRUE(config) << config.error().message;
  EXPECT_EQ(config->cluster_name, "prod.example");
  EXPECT_EQ(config->log.level, log::Level::kError);
  EXPECT_EQ(config->log.format, log::Format::kText) << "an empty variable counts as unset";
  EXPECT_EQ(config->ca_key_passphrase.text(), "from the environment");
  EXPECT_EQ(config->auth.listen_addr.host, "::1");
  EXPECT_EQ(config->proxy.ssh_listen_addr.text(), "127.0.0.1:4023");
  EXPECT_EQ(config->recording.mode, RecordingMode::kOff);
}

TEST_F(ConfigTest, MistakesNameFileLineKeyAndAcceptedValues) {
  std::string file = file_.string();
  EXPECT_THAT(problem("log:\n  levle: debug\n"), HasSubstr(file + ":2: log.levle: unknown key"));
  EXPECT_THAT(problem("log:\n  levle: debug\n"), HasSubstr("level, format"));
  EXPECT_THAT(problem("log:\n  level: loud\n"), HasSubstr(file + ":2: log.level: 'loud'"));
  EXPECT_THAT(problem("log:\n  level: loud\n"), HasSubstr("debug, info, warn or error"));
  EXPECT_THAT(problem("auth:\n  enabled: maybe\n"), HasSubstr(":2: auth.enabled: 'maybe'"));
  EXPECT_THAT(problem("auth:\n  enabled: maybe\n"), HasSubstr("true or false"));
  EXPECT_THAT(problem("data_dir: [a, b]\n"), HasSubstr(":1: data_dir: expected a single value, not a list"));
  EXPECT_THAT(problem("\n\nlog: loud\n"), HasSubstr(":3: log: this is a section"));
  EXPECT_THAT(problem("proxy:\n  listen_addr: 3080\n"), HasSubstr(":2: proxy.listen_addr: '3080'"));
  EXPECT_THAT(problem("proxy:\n  listen_addr: host:99999\n"), HasSubstr("host:port"));
  EXPECT_THAT(problem("a: b: c\n"), HasSubstr(":1: not valid YAML"));
  EXPECT_THAT(problem("- a\n"), HasSubstr(":1: expected keys and values"));
  EXPECT_THAT(problem("log: {level: info}\nlog.level: debug\n"), HasSubstr("already set in line 1"));
  EXPECT_THAT(problem("nonsense: 1\n"), HasSubstr("cluster_name, data_dir, log"));
  EXPECT_THAT(problem("proxy: {drain_timeout: 10}\n"), HasSubstr("use a duration like 30s"));
  EXPECT_THAT(problem("cluster_name: \"a b\"\n"), HasSubstr("cluster_name"));
  EXPECT_THAT(problem("database: {port: 0}\n"), HasSubstr("1 to 65535"));
  EXPECT_THAT(problem("proxy: {listen_addr: ':3023'}\n"), HasSubstr("proxy.ssh_listen_addr"));
}

TEST_F(ConfigTest, HostileTextInErrorsIsMadePrintable) {
  EXPECT_THAT(problem("\"\\e[2Jx\": 1\n"), Not(HasSubstr("\x1b")));
  EXPECT_THAT(problem("log: {level: \"\\e[2J\"}\n"), Not(HasSubstr("\x1b")));
}

TEST_F(ConfigTest, SecretsAreNeverEchoed) {
  EXPECT_THAT(problem("audit: {hmac_key: hunter2}\n"), Not(HasSubstr("hunter2")));
  EXPECT_THAT(problem("database: {password: hunter2}\n"), Not(HasSubstr("hunter2")));
  EXPECT_THAT(problem("database: {url: 'postgres://u:hunter2@h/d'}\n"), Not(HasSubstr("hunter2")));
}

TEST_F(ConfigTest, WhatIsNotSupportedIsRefusedNotIgnored) {
  EXPECT_THAT(problem("database: {driver: postgres}\n"),
              HasSubstr("database.driver: postgres is not supported by this version; use sqlite"));
  EXPECT_THAT(problem("database: {driver: postgresql}\n"), HasSubstr("not supported"));
  EXPECT_THAT(problem("database: {driver: mysql}\n"), HasSubstr("use sqlite or postgres"));
  EXPECT_THAT(problem("recording: {backend: s3}\n"), HasSubstr("recording.s3.bucket is not set"));
  EXPECT_THAT(problem("recording: {mode: proxy}\n"), HasSubstr("use node or node-sync or off"));
  EXPECT_THAT(problem("proxy: {single_port_addr: ':443'}\n"), HasSubstr("remove it"));
  EXPECT_THAT(problem("proxy: {trusted_ip_header: X-Real-Ip}\n"), HasSubstr("not supported"));
  // Every such key accepts its own default.
  EXPECT_EQ(problem("database: {driver: sqlite, host: localhost, port: 5432}\nauth: {enabled: true}\n"), "(accepted)");
  variables_ = {{"MEZITE_DB_HOST", "db.example"}};
  EXPECT_THAT(problem(""), HasSubstr("MEZITE_DB_HOST"));
  variables_ = {{"MEZITE_DB_DRIVER", "sqlite"}, {"MEZITE_DATABASE_DRIVER", "postgres"}};
  EXPECT_THAT(problem(""), HasSubstr("differ"));
}

TEST_F(ConfigTest, MissingFileIsAnErrorOnlyWhenNamed) {
  Result<Config> named = load_config(folder_ / "none.yaml", environment());
  ASSERT_FALSE(named);
  EXPECT_THAT(named.error().message, HasSubstr("none.yaml"));
}

TEST_F(ConfigTest, TheTableIsWhole) {
  for (const ConfigKey& key : config_keys()) {
    EXPECT_THAT(key.description, Not(IsEmpty())) << key.name;
    EXPECT_THAT(key.accepted, Not(IsEmpty())) << key.name;
    EXPECT_EQ(key.variables.back(), variable_of(key.name));
    EXPECT_TRUE(key.set) << key.name;
  }
  for (std::string_view fixed :
       {"MEZITE_LOG_LEVEL", "MEZITE_DB_DRIVER", "MEZITE_DB_PASSWORD", "MEZITE_CA_KEY_PASSPHRASE",
        "MEZITE_GRPC_ALLOW_HTTP", "MEZITE_AUTH_H2C", "MEZITE_S3_AUTO_CREATE_BUCKET", "MEZITE_AUDIT_HMAC_KEY",
        "MEZITE_AUDIT_SINK_WEBHOOK_URL", "MEZITE_AUDIT_SINK_FILE_PATH"}) {
    EXPECT_THAT(unknown_variables({std::string(fixed)}), IsEmpty()) << fixed;
  }
  EXPECT_THAT(unknown_variables({"MEZITE_LOG_LEVLE", "MEZITE_JOIN_TOKEN", "HOME"}),
              ::testing::ElementsAre("MEZITE_LOG_LEVLE"));
}

TEST_F(ConfigTest, TheReferenceIsWhatTheTableSays) {
  Result<Bytes> stored = read_file(std::filesystem::path(MEZITE_SOURCE_DIR) / "docs/configuration.md");
  ASSERT_TRUE(stored) << stored.error().message;
  EXPECT_EQ(as_text(*stored), config_reference()) << "run: build/bin/mezhub --config-reference > docs/configuration.md";
}

TEST_F(ConfigTest, ListsFromFileAndVariable) {
  Result<Config> config = load("audit:\n  previous_hmac_keys: [aaaaaaaaaaaaaaaaaaaa, bbbbbbbbbbbbbbbbbbbb]\n");
  ASSERT_TRUE(config) << config.error().message;
  EXPECT_EQ(config->audit.previous_hmac_keys.size(), 2U);
  variables_ = {{"MEZITE_AUDIT_PREVIOUS_HMAC_KEYS", "cccccccccccccccccccc, dddddddddddddddddddd,eeeeeeeeeeeeeeeeeeee"}};
  config = load("");
  ASSERT_TRUE(config) << config.error().message;
  ASSERT_EQ(config->audit.previous_hmac_keys.size(), 3U);
  EXPECT_EQ(config->audit.previous_hmac_keys[1].text(), "dddddddddddddddddddd");
}

}  // namespace
}  // namespace mezite::auth
