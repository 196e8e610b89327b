// For the tests of this folder: services on a temporary folder, with cheap Argon2id.
#pragma once

#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <memory>
#include <string>

#include "auth/caller.hh"
#include "auth/services.hh"
#include "base/file.hh"
#include "crypto/argon2.hh"
#include "crypto/signing_key.hh"
#include "ssh/keys/public_key.hh"

namespace mezite::auth::testing {

class TemporaryFolder {
 public:
  TemporaryFolder() {
    char name[] = "/tmp/mezite-auth-XXXXXX";
    path_ = ::mkdtemp(name);
  }
  ~TemporaryFolder() { std::filesystem::remove_all(path_); }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

inline constexpr std::string_view kPassword = "a good long password";

// Services that keep until the end of the test, and short ways to fill them.
class ServicesTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto opened = Services::open(make_config(), clock(), crypto::kCheapArgon2, crypto::kCheapArgon2);
    ASSERT_TRUE(opened) << opened.error().message;
    services_ = std::move(*opened);
  }

  virtual const Clock& clock() { return system_clock(); }

  Config make_config() {
    auto none = [](std::string_view) -> std::optional<std::string> { return std::nullopt; };
    auto variables = [this, none](std::string_view name) -> std::optional<std::string> {
      if (name == "MEZITE_CLUSTER_NAME") return "test.mezite";
      if (name == "MEZITE_DATA_DIR") return (folder_.path() / "data").string();
      if (name == "MEZITE_CA_KEY_PASSPHRASE") return "correct horse battery staple";
      if (name == "MEZITE_AUDIT_HMAC_KEY") return "0123456789abcdef0123456789abcdef";
      if (name == "MEZITE_AUTH_LISTEN_ADDR") return "127.0.0.1:0";
      if (name == "MEZITE_PROXY_PUBLIC_ADDR") return "hub.test:3080";
      return none(name);
    };
    auto config = load_config(empty_file(), variables);
    EXPECT_TRUE(config) << config.error().message;
    return std::move(*config);
  }

  // Users, roles and sessions made without asking for permission.
  void add_role(const std::string& document) {
    auto stored = services_->identity->roles.upsert(document);
    ASSERT_TRUE(stored) << stored.error().message;
  }
  void add_user(const std::string& name, std::vector<std::string> roles, access::Traits traits = {}) {
    auto user = services_->identity->users.create({name, std::move(roles), std::move(traits)});
    ASSERT_TRUE(user) << user.error().message;
    Status set = services_->identity->passwords.set(name, kPassword);
    ASSERT_TRUE(set) << set.error().message;
  }
  std::string session_of(const std::string& user) {
    auto session = services_->identity->sessions.create(user, "192.0.2.7");
    EXPECT_TRUE(session) << session.error().message;
    return session ? session->token : "";
  }
  Caller caller(const std::string& user, std::string_view ip = "192.0.2.7") {
    auto found = caller_of_session(*services_, session_of(user), ip);
    EXPECT_TRUE(found) << found.error().message;
    return found ? *found : Caller{};
  }
  std::string join_token(access::Labels labels = {}) {
    identity::NewJoinToken wanted;
    wanted.labels = std::move(labels);
    wanted.created_by = "test";
    auto made = services_->identity->join_tokens.create(wanted);
    EXPECT_TRUE(made) << made.error().message;
    return made ? made->secret : "";
  }
  std::vector<std::string> events(std::string_view type) {
    audit::Filter filter;
    filter.type = type;
    auto listed = services_->audit->list(filter);
    EXPECT_TRUE(listed);
    std::vector<std::string> texts;
    if (listed) {
      for (const audit::StoredEvent& event : *listed) texts.push_back(event.json);
    }
    return texts;
  }

  TemporaryFolder folder_;
  std::unique_ptr<Services> services_;

 private:
  std::filesystem::path empty_file() {
    std::filesystem::path path = folder_.path() / "mezite.yaml";
    EXPECT_TRUE(write_file(path, {}));
    return path;
  }
};

struct NodeKeyPair {
  crypto::SigningKey tls;
  std::string ssh_public_key;

  static NodeKeyPair make() {
    auto tls = crypto::SigningKey::generate(crypto::KeyAlgorithm::kEcdsaP256);
    auto ssh_key = crypto::SigningKey::generate(crypto::KeyAlgorithm::kEd25519);
    return {std::move(*tls), ssh::PublicKey::from_crypto(ssh_key->public_key())->to_text()};
  }
};

}  // namespace mezite::auth::testing
