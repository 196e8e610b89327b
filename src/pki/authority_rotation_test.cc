// The steps of a rotation on a real database: what signs and what is trusted, and a hub that ends at any statement.
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>

#include "pki/authority.hh"
#include "ssh/keys/certificate_check.hh"
#include "ssh/keys/private_key.hh"
#include "store/schema.hh"

namespace mezite::pki {
namespace {

namespace fs = std::filesystem;

constexpr std::array kTypes{AuthorityType::kUser, AuthorityType::kHost, AuthorityType::kSpiffe};

// A KMS that may refuse.
class RefusingKeyStore final : public KeyStore {
 public:
  Result<NewKey> make(std::string_view type) override {
    if (refuses) return fail(ErrorCode::kPermissionDenied, "kms:CreateKey is not allowed");
    return keys_->make(type);
  }
  Result<CaKey> open(const StoredKey& stored) override { return keys_->open(stored); }
  bool refuses = false;

 private:
  std::unique_ptr<KeyStore> keys_ = software_key_store();
};

class AuthorityRotationTest : public ::testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/mezite-rotation-XXXXXX";
    folder_ = ::mkdtemp(name);
    restart();
  }
  void TearDown() override {
    db_.reset();
    fs::remove_all(folder_);
  }
  // As a hub that ended without a word and starts again.
  void restart() {
    ca_.reset();
    box_.reset();
    db_.reset();
    db_ = store::Database::open({.path = folder_ / "mezhub.db", .migrations = store::schema()}).value();
    box_.emplace(SecretBox::open(*db_, Secret("pass"), crypto::kCheapArgon2).value());
    ca_ = Authority::open(*db_, *box_, keys_, "example", clock_).value();
  }
  Result<Transition> step(AuthorityType type, RotationStep step, std::string_view note = "") {
    return ca_->step(type, step, note, *db_, *box_, keys_);
  }
  void steps(AuthorityType type, std::initializer_list<RotationStep> list) {
    for (RotationStep one : list) {
      auto done = step(type, one);
      ASSERT_TRUE(done) << done.error().message;
    }
  }
  void run(std::string_view sql) {
    auto transaction = db_->begin().value();
    ASSERT_TRUE(transaction.execute(sql));
    ASSERT_TRUE(transaction.commit());
  }
  AuthorityStatus status(AuthorityType type) { return ca_->status()[static_cast<std::size_t>(type)]; }
  std::vector<ssh::PublicKey> trusted_user() { return ca_->trust_bundle().user_cas; }
  ssh::Certificate user_certificate() {
    UserCertificateRequest request{.user = "alice", .public_key = new_key(), .logins = {"root"}};
    request.ttl = std::chrono::hours(1);
    return ca_->sign_user_certificate(request).value();
  }
  static ssh::PublicKey new_key() { return ssh::PrivateKey::generate(ssh::KeyType::kEd25519).value().public_key(); }
  bool is_good(const ssh::Certificate& certificate) {
    auto cas = trusted_user();
    return ssh::verify_certificate(certificate, {.type = ssh::CertificateType::kUser,
                                                 .trusted_cas = cas,
                                                 .now = clock_.now(),
                                                 .principal = std::nullopt,
                                                 .source_address = std::nullopt})
        .has_value();
  }
  std::vector<crypto::X509Certificate> hub_chain() {
    auto key = crypto::SigningKey::generate(crypto::KeyAlgorithm::kEcdsaP256).value();
    auto chain = ca_->host_ca_chain();
    chain.insert(chain.begin(),
                 ca_->issue_server_x509(
                        {.public_key_spki = key.public_key().spki(), .dns_names = {"hub.example"}, .ip_addresses = {}})
                     .value());
    return chain;
  }

  fs::path folder_;
  ManualClock clock_{system_clock().now()};
  RefusingKeyStore keys_;
  std::unique_ptr<store::Database> db_;
  std::optional<SecretBox> box_;
  std::unique_ptr<Authority> ca_;
};

using enum RotationStep;

TEST_F(AuthorityRotationTest, WhatSignsAndWhatIsTrustedInEachPhase) {
  const KeyPair before = status(AuthorityType::kUser).keys;
  auto old = user_certificate();
  steps(AuthorityType::kUser, {kRotate, kKeyMade});
  const KeyPair clients = status(AuthorityType::kUser).keys;
  EXPECT_EQ(clients.active, before.active);
  EXPECT_FALSE(clients.standby.empty());
  EXPECT_GT(clients.revision, before.revision);
  EXPECT_EQ(user_certificate().signature_key().fingerprint(), before.active);
  EXPECT_EQ(trusted_user().size(), 2u);

  steps(AuthorityType::kUser, {kAdvance});
  auto fresh = user_certificate();
  EXPECT_EQ(fresh.signature_key().fingerprint(), clients.standby);
  EXPECT_TRUE(is_good(old) && is_good(fresh));
  EXPECT_EQ(trusted_user().front().fingerprint(), clients.standby) << "the key that signs is first";
  restart();
  EXPECT_EQ(user_certificate().signature_key().fingerprint(), clients.standby);
  EXPECT_TRUE(is_good(old) && is_good(fresh));

  steps(AuthorityType::kUser, {kAdvance});
  EXPECT_EQ(trusted_user().size(), 1u);
  EXPECT_FALSE(is_good(old)) << "a retired key is trusted";
  EXPECT_TRUE(is_good(fresh));
  restart();
  EXPECT_FALSE(is_good(old));
  EXPECT_EQ(status(AuthorityType::kUser).rotation, Rotation{});
}

TEST_F(AuthorityRotationTest, RollbackKeepsWhatTheNewKeySignedUntilItIsOver) {
  auto old = user_certificate();
  steps(AuthorityType::kUser, {kRotate, kKeyMade, kAdvance});
  auto fresh = user_certificate();
  steps(AuthorityType::kUser, {kRollback});
  EXPECT_EQ(user_certificate().signature_key(), old.signature_key());
  EXPECT_TRUE(is_good(old) && is_good(fresh));
  steps(AuthorityType::kUser, {kAdvance});
  EXPECT_TRUE(is_good(old));
  EXPECT_FALSE(is_good(fresh));
  // And once more from the start, with keys whose numbers were used before.
  steps(AuthorityType::kUser, {kRotate, kKeyMade, kAdvance, kAdvance});
  EXPECT_FALSE(is_good(old));
  restart();
  EXPECT_TRUE(is_good(user_certificate()));
}

// A pin is kept by clients and in join tokens: the pin of either key must do for as long as the rotation lasts, and the
// pin of a retired key must not.
TEST_F(AuthorityRotationTest, TheHubsChainLeadsToBothHostKeys) {
  auto leads_to = [&](const crypto::X509Certificate& root) {
    auto chain = hub_chain();
    return crypto::verify_x509_chain(chain, std::span(&root, 1), clock_.now(), crypto::X509Usage::kServer).has_value();
  };
  auto old = ca_->host_ca_certificate();
  steps(AuthorityType::kHost, {kRotate, kKeyMade});
  auto fresh = ca_->trust_bundle().host_x509.at(1);
  EXPECT_TRUE(leads_to(old) && leads_to(fresh));
  steps(AuthorityType::kHost, {kAdvance});
  EXPECT_EQ(ca_->host_ca_certificate().spki_sha256_hex(), fresh.spki_sha256_hex());
  EXPECT_TRUE(leads_to(old) && leads_to(fresh));
  steps(AuthorityType::kHost, {kRollback});
  EXPECT_TRUE(leads_to(old) && leads_to(fresh));
  restart();
  EXPECT_TRUE(leads_to(old) && leads_to(fresh));
  steps(AuthorityType::kHost, {kAdvance});
  EXPECT_TRUE(leads_to(old));
  EXPECT_FALSE(leads_to(fresh));
  EXPECT_EQ(hub_chain().size(), 2u);
}

// An agent's certificate counts until the key that signed it is gone.
TEST_F(AuthorityRotationTest, AgentCertificatesOfBothKeys) {
  auto key = crypto::SigningKey::generate(crypto::KeyAlgorithm::kEcdsaP256).value();
  AgentX509Request request{.node_id = "n1", .node_name = "n", .public_key_spki = key.public_key().spki()};
  auto old = ca_->issue_agent_x509(request).value();
  steps(AuthorityType::kHost, {kRotate, kKeyMade, kAdvance});
  auto fresh = ca_->issue_agent_x509(request).value();
  EXPECT_TRUE(ca_->verify_agent_x509(old) && ca_->verify_agent_x509(fresh));
  steps(AuthorityType::kHost, {kAdvance});
  EXPECT_FALSE(ca_->verify_agent_x509(old));
  EXPECT_TRUE(ca_->verify_agent_x509(fresh));
}

// T13: a key that can't be made leaves the CA at init on the old key; the same again, or giving up, both work.
TEST_F(AuthorityRotationTest, AKeyThatCantBeMade) {
  auto before = status(AuthorityType::kHost).keys;
  keys_.refuses = true;
  steps(AuthorityType::kHost, {kRotate});
  auto refused = step(AuthorityType::kHost, kKeyMade);
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().message.find("kms:CreateKey"), std::string::npos);
  restart();
  EXPECT_EQ(status(AuthorityType::kHost).rotation.phase, RotationPhase::kInit);
  EXPECT_EQ(status(AuthorityType::kHost).keys.active, before.active);
  EXPECT_EQ(status(AuthorityType::kHost).keys.standby, "");
  steps(AuthorityType::kHost, {kRollback, kRotate});
  keys_.refuses = false;
  steps(AuthorityType::kHost, {kRotate, kKeyMade});
  EXPECT_NE(status(AuthorityType::kHost).keys.standby, "");
}

TEST_F(AuthorityRotationTest, StepsThatAreNotInTheTableAreRefusedInWords) {
  auto refused = step(AuthorityType::kUser, kAdvance);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kFailedPrecondition);
  EXPECT_NE(refused.error().message.find("mezctl ca rotate --type=user"), std::string::npos);
  steps(AuthorityType::kUser, {kRotate, kKeyMade});
  EXPECT_FALSE(step(AuthorityType::kUser, kRotate));
  EXPECT_FALSE(step(AuthorityType::kUser, kKeyMade));
  EXPECT_TRUE(step(AuthorityType::kHost, kRotate)) << "each CA goes its own way";
}

// Every statement of every step fails once, as if the hub had ended there: nothing of the step may have happened, and
// the same step must work afterwards.
TEST_F(AuthorityRotationTest, AHubThatEndsAtAnyStatement) {
  using Trap = std::pair<const char*, const char*>;
  auto traps_of = [](KeyChange change) {
    std::vector<Trap> traps{{"revision", "UPDATE"}, {"ca_rotations", "UPDATE"}};
    if (change == KeyChange::kAddStandby) traps.emplace_back("certificate_authorities", "INSERT");
    if (change == KeyChange::kSwap) traps.emplace_back("certificate_authorities", "UPDATE");
    if (change == KeyChange::kDropStandby) traps.emplace_back("certificate_authorities", "DELETE");
    return traps;
  };
  constexpr std::array kWalk{kRotate,  kKeyMade,  kAdvance, kRollback, kAdvance, kRotate,
                             kKeyMade, kRollback, kRotate,  kKeyMade,  kAdvance, kAdvance};
  for (AuthorityType type : kTypes) {
    for (RotationStep one : kWalk) {
      auto before = ca_->status();
      auto planned = next_rotation(type, before[static_cast<std::size_t>(type)].rotation, one);
      ASSERT_TRUE(planned);
      for (const auto& [table, what] : traps_of(planned->keys)) {
        run(fmt::format("CREATE TRIGGER trap BEFORE {} ON {} BEGIN SELECT RAISE(ABORT, 'ended'); END", what, table));
        EXPECT_FALSE(step(type, one, "a note")) << what << " " << table;
        restart();
        run("DROP TRIGGER trap");
        for (std::size_t i = 0; i < before.size(); ++i) {
          EXPECT_EQ(ca_->status()[i].keys, before[i].keys);
          EXPECT_EQ(ca_->status()[i].rotation, before[i].rotation);
        }
      }
      steps(type, {one});
      EXPECT_TRUE(is_good(user_certificate()));
    }
  }
}

// What must follow a step is found again after a crash, and once.
TEST_F(AuthorityRotationTest, NotesOutliveTheHub) {
  ASSERT_TRUE(step(AuthorityType::kHost, kRotate, "the event"));
  restart();
  EXPECT_EQ(Authority::unsettled_notes(*db_).value(), std::vector<std::string>{"the event"});
  ASSERT_TRUE(Authority::settle(*db_, "the event"));
  EXPECT_TRUE(Authority::unsettled_notes(*db_)->empty());
}

}  // namespace
}  // namespace mezite::pki
