#include "pki/revocations.hh"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>

#include "pki/authority.hh"
#include "ssh/keys/private_key.hh"
#include "store/schema.hh"
#include "store/settings.hh"

namespace mezite::pki {
namespace {

namespace fs = std::filesystem;

class RevocationsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/mezite-revocations-XXXXXX";
    folder_ = ::mkdtemp(name);
    db_ = store::Database::open({.path = folder_ / "mezhub.db", .migrations = store::schema()}).value();
    reopen();
  }
  void TearDown() override {
    db_.reset();
    fs::remove_all(folder_);
  }
  void reopen() { revocations_ = Revocations::open(*db_, clock_).value(); }
  Revocation of(std::string kind, std::string value, std::optional<SystemTime> expires_at = std::nullopt) {
    return {.id = {},
            .kind = std::move(kind),
            .value = std::move(value),
            .user = "alice",
            .reason = "laptop lost",
            .created_by = "root",
            .created_at = {},
            .expires_at = expires_at};
  }
  ssh::Certificate certificate() {
    auto key = ssh::PrivateKey::generate(ssh::KeyType::kEd25519).value();
    ssh::CertificateRequest request{.public_key = key.public_key(), .key_id = "alice", .principals = {"root"}};
    request.valid_after = clock_.now();
    request.valid_before = clock_.now() + std::chrono::hours(1);
    return ssh::sign_certificate(std::move(request), key).value();
  }
  std::int64_t revision() {
    auto reader = db_->snapshot().value();
    return store::current_revision(reader).value();
  }

  fs::path folder_;
  ManualClock clock_{system_clock().now()};
  std::unique_ptr<store::Database> db_;
  std::unique_ptr<Revocations> revocations_;
};

TEST_F(RevocationsTest, BySerialAndByKeyId) {
  auto one = certificate(), other = certificate();
  auto before = revision();
  auto added = revocations_->add({of("serial", std::to_string(one.serial()))});
  ASSERT_TRUE(added) << added.error().message;
  EXPECT_EQ(added->size(), 1u);
  EXPECT_GT(revision(), before) << "agents would not hear of it";
  EXPECT_TRUE(revocations_->is_revoked(one));
  EXPECT_FALSE(revocations_->is_revoked(other));
  reopen();
  EXPECT_TRUE(revocations_->is_revoked(one));
  EXPECT_TRUE(revocations_->add({of("serial", std::to_string(one.serial()))})->empty()) << "twice";
  ASSERT_TRUE(revocations_->add({of("key_id", "alice")}));
  EXPECT_TRUE(revocations_->is_revoked(other));
  EXPECT_EQ(revocations_->current().serials.size(), 1u);
  EXPECT_EQ(revocations_->current().key_ids, std::vector<std::string>{"alice"});
}

TEST_F(RevocationsTest, LiftedAndForgottenWhenTheCertificateHasEnded) {
  auto one = certificate();
  auto added = revocations_->add({of("serial", std::to_string(one.serial()), clock_.now() + std::chrono::hours(1))});
  ASSERT_TRUE(added);
  EXPECT_EQ(revocations_->list()->size(), 1u);
  ASSERT_TRUE(revocations_->remove(added->front().id));
  EXPECT_FALSE(revocations_->is_revoked(one));
  EXPECT_EQ(revocations_->remove(added->front().id).error().code, ErrorCode::kNotFound);
  ASSERT_TRUE(revocations_->add({of("serial", "7", clock_.now() + std::chrono::hours(1))}));
  clock_.advance(std::chrono::hours(2));
  EXPECT_TRUE(revocations_->list()->empty());
  ASSERT_TRUE(revocations_->add({of("serial", "8")}));
  EXPECT_EQ(revocations_->current().serials, std::vector<std::uint64_t>{8});
}

TEST_F(RevocationsTest, WhatIsNoSerialOrKeyId) {
  for (const char* wrong : {"", "0", "-1", "18446744073709551616", "12x", " 1"}) {
    EXPECT_EQ(revocations_->add({of("serial", wrong)}).error().code, ErrorCode::kInvalidArgument) << wrong;
  }
  EXPECT_FALSE(revocations_->add({of("key_id", "a\nb")}));
  EXPECT_FALSE(revocations_->add({of("key_id", std::string(2000, 'a'))}));
  EXPECT_TRUE(revocations_->list()->empty());
}

}  // namespace
}  // namespace mezite::pki
