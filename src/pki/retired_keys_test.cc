// What becomes of keys in a KMS whose CA has another key now.
#include "pki/retired_keys.hh"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>

#include "pki/authority.hh"
#include "store/schema.hh"

namespace mezite::pki {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;
using enum RotationStep;

// Keys that are said to be in a KMS.
class NamedKeys final : public KeyStore {
 public:
  Result<NewKey> make(std::string_view type) override {
    MEZ_TRY(NewKey made, keys_->make(type));
    if (type == "spiffe") return made;  // one that is in the database: there is nothing to retire then
    const std::string alias = fmt::format("alias/mezite/{}/{}", type, ++made_);
    kept_.emplace(alias, std::move(made.stored.private_key));
    MEZ_TRY(CaKey key, open({{}, alias}));
    return NewKey{std::move(key), {{}, alias}};
  }
  Result<CaKey> open(const StoredKey& stored) override {
    if (stored.kms_alias.empty()) return keys_->open(stored);
    return keys_->open({kept_.at(stored.kms_alias).clone(), {}});
  }
  std::string key_id(const std::string& alias) const override { return alias.empty() ? "" : "id of " + alias; }
  Result<KeyDeletion> schedule_deletion(const KmsName& key) override {
    asked.push_back(key.key_id);
    if (refuses) return fail(ErrorCode::kPermissionDenied, "grant kms:ScheduleKeyDeletion");
    return KeyDeletion{due};
  }

  bool refuses = false;
  std::optional<SystemTime> due;
  std::vector<std::string> asked;

 private:
  std::unique_ptr<KeyStore> keys_ = software_key_store();
  std::map<std::string, Secret> kept_;
  int made_ = 0;
};

class RetiredKeysTest : public ::testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/mezite-retired-XXXXXX";
    folder_ = ::mkdtemp(name);
    db_ = store::Database::open({.path = folder_ / "mezhub.db", .migrations = store::schema()}).value();
    box_.emplace(SecretBox::open(*db_, Secret("pass"), crypto::kCheapArgon2).value());
    ca_ = Authority::open(*db_, *box_, keys_, "example", clock_).value();
    keys_.due = clock_.now() + 720h;
  }
  void TearDown() override {
    ca_.reset();
    db_.reset();
    fs::remove_all(folder_);
  }
  void steps(AuthorityType type, std::initializer_list<RotationStep> list) {
    for (RotationStep one : list) {
      auto done = ca_->step(type, one, "", *db_, *box_, keys_);
      ASSERT_TRUE(done) << done.error().message;
    }
  }

  fs::path folder_;
  ManualClock clock_;
  NamedKeys keys_;
  std::unique_ptr<store::Database> db_;
  std::optional<SecretBox> box_;
  std::unique_ptr<Authority> ca_;
};

TEST_F(RetiredKeysTest, StatusNamesTheKeys) {
  steps(AuthorityType::kUser, {kRotate, kKeyMade});
  const AuthorityStatus user = ca_->status().at(0);
  EXPECT_TRUE(user.active_kms.alias.starts_with("alias/mezite/user/"));
  EXPECT_EQ(user.active_kms.key_id, "id of " + user.active_kms.alias);
  EXPECT_EQ(user.standby_kms.key_id, "id of " + user.standby_kms.alias);
  EXPECT_NE(user.active_kms.alias, user.standby_kms.alias);
  EXPECT_EQ(ca_->status().at(2).active_kms.alias, "");
}

TEST_F(RetiredKeysTest, TheOldKeyGoesWhenTheRotationIsOver) {
  RetiredKeys retired(*db_, keys_, clock_);
  const KmsName old = ca_->status().at(0).active_kms;
  steps(AuthorityType::kUser, {kRotate, kKeyMade, kAdvance});
  EXPECT_TRUE(retired.list()->empty()) << "it may sign again";
  steps(AuthorityType::kUser, {kAdvance});
  ASSERT_EQ(retired.list()->size(), 1u);
  EXPECT_FALSE(retired.list()->at(0).deleted_at);

  auto settled = retired.settle();
  ASSERT_TRUE(settled && settled->size() == 1);
  EXPECT_EQ(settled->at(0).ca_type, "user");
  EXPECT_EQ(settled->at(0).kms.alias, old.alias);
  EXPECT_EQ(keys_.asked, std::vector<std::string>{old.key_id});
  EXPECT_EQ(retired.list()->at(0).deleted_at, keys_.due);
  EXPECT_TRUE(retired.settle()->empty());
  EXPECT_EQ(keys_.asked.size(), 1u) << "asked once";
  clock_.advance(721h);
  EXPECT_TRUE(retired.settle()->empty());
  EXPECT_TRUE(retired.list()->empty());
}

TEST_F(RetiredKeysTest, ARollbackRetiresTheNewKey) {
  RetiredKeys retired(*db_, keys_, clock_);
  steps(AuthorityType::kHost, {kRotate, kKeyMade});
  const KmsName fresh = ca_->status().at(1).standby_kms;
  steps(AuthorityType::kHost, {kRollback});
  ASSERT_EQ(retired.list()->size(), 1u);
  EXPECT_EQ(retired.list()->at(0).kms.key_id, fresh.key_id);
}

TEST_F(RetiredKeysTest, AKeyInTheDatabaseLeavesNothing) {
  steps(AuthorityType::kSpiffe, {kRotate, kKeyMade, kAdvance, kAdvance});
  EXPECT_TRUE(RetiredKeys(*db_, keys_, clock_).list()->empty());
}

TEST_F(RetiredKeysTest, ARefusalIsKeptAndToldOnce) {
  RetiredKeys retired(*db_, keys_, clock_);
  steps(AuthorityType::kUser, {kRotate, kKeyMade, kAdvance, kAdvance});
  keys_.refuses = true;
  auto settled = retired.settle();
  ASSERT_TRUE(settled && settled->size() == 1);
  EXPECT_EQ(settled->at(0).problem, "grant kms:ScheduleKeyDeletion");
  EXPECT_TRUE(retired.settle()->empty()) << "the same again is no news";
  EXPECT_EQ(retired.list()->at(0).problem, "grant kms:ScheduleKeyDeletion");
  keys_.refuses = false;
  ASSERT_EQ(retired.settle()->size(), 1u);
  EXPECT_EQ(retired.list()->at(0).problem, "");
}

// Somebody has pointed an alias elsewhere: a key that signs must not be deleted.
TEST_F(RetiredKeysTest, AKeyThatStillSignsIsNotDeleted) {
  RetiredKeys retired(*db_, keys_, clock_);
  auto transaction = db_->begin().value();
  ASSERT_TRUE(add_retired_key(
      transaction,
      {.ca_type = "user", .kms = {.alias = "alias/old", .key_id = ca_->status().at(1).active_kms.key_id}}));
  ASSERT_TRUE(transaction.commit());
  auto settled = retired.settle();
  ASSERT_TRUE(settled && settled->size() == 1);
  EXPECT_NE(settled->at(0).problem.find("signs with"), std::string::npos);
  EXPECT_TRUE(keys_.asked.empty());
}

// What was gone already needs no date.
TEST_F(RetiredKeysTest, AKeyThatIsGoneIsForgotten) {
  RetiredKeys retired(*db_, keys_, clock_);
  steps(AuthorityType::kUser, {kRotate, kKeyMade, kAdvance, kAdvance});
  keys_.due.reset();
  EXPECT_TRUE(retired.settle());
  EXPECT_TRUE(retired.list()->empty());
}

}  // namespace
}  // namespace mezite::pki
