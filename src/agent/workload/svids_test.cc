#include "agent/workload/svids.hh"

#include <gmock/gmock.h>

#include "agent/workload/answers.hh"

namespace mezite::agent {
namespace {

using ::testing::HasSubstr;

crypto::SigningKey new_key() { return *crypto::SigningKey::generate(crypto::KeyAlgorithm::kEcdsaP256); }

// A hub in memory: one CA, whose certificates live for an hour.
class FakeHub final : public SvidIssuer {
 public:
  explicit FakeHub(const Clock& clock) : clock_(clock) { rotate(); }

  void rotate() {
    key_ = new_key();
    crypto::X509CaSpec spec{.common_name = "CA", .organization = "td"};
    spec.not_before = clock_.now() - std::chrono::hours(1);
    spec.not_after = clock_.now() + std::chrono::hours(1000);
    ca = std::make_unique<crypto::X509Certificate>(*crypto::make_x509_ca(key_, spec));
  }
  Result<crypto::X509Certificate> issue_x509_svid(const std::string& registration, BytesView spki) override {
    ++asked;
    if (problem) return std::unexpected(*problem);
    crypto::X509LeafSpec spec{.common_name = "workload"};
    spec.uris = {uri.empty() ? "spiffe://td/" + registration : uri};
    spec.not_before = clock_.now() - std::chrono::minutes(1);
    spec.not_after = clock_.now() + std::chrono::hours(1);
    spec.usage = crypto::X509Usage::kServerAndClient;
    Bytes subject = other_key ? new_key().public_key().spki() : to_bytes(spki);
    return crypto::issue_x509_leaf(*ca, key_, subject, spec);
  }
  Result<Jwt> issue_jwt_svid(const std::string&, const std::vector<std::string>&) override {
    ++asked;
    if (problem) return std::unexpected(*problem);
    return Jwt{.token = "token " + std::to_string(asked), .expires_at = clock_.now() + std::chrono::minutes(4)};
  }

  std::unique_ptr<crypto::X509Certificate> ca;
  std::optional<Error> problem;
  std::string uri;
  bool other_key = false;
  int asked = 0;

 private:
  const Clock& clock_;
  crypto::SigningKey key_ = new_key();
};

class SvidsTest : public ::testing::Test {
 protected:
  static Registration registration(const std::string& name) {
    return {.id = name,
            .spiffe_id = *spiffe::Id::parse("spiffe://td/" + name),
            .selectors = *spiffe::Selectors::parse({"unix:uid:1"}),
            .hint = {}};
  }
  WorkloadState state() {
    WorkloadState out;
    out.revision = 1;
    out.registrations = {registration("a")};
    out.bundle.trust_domain = "td";
    out.bundle.x509 = {*hub_.ca};
    out.bundle.jwt = {*spiffe::JwtKey::of(jwt_key_.public_key())};
    return out;
  }
  Error down{ErrorCode::kUnavailable, "away"};

  ManualClock clock_;
  FakeHub hub_{clock_};
  crypto::SigningKey jwt_key_ = new_key();
  Svids svids_{hub_, clock_};
};

TEST_F(SvidsTest, AreSharedUntilHalfOfTheirLife) {
  auto first = svids_.x509(registration("a"), state());
  ASSERT_TRUE(first) << first.error().message;
  EXPECT_EQ(first->due, clock_.now() + std::chrono::minutes(30));
  clock_.advance(std::chrono::minutes(29));
  EXPECT_EQ(svids_.x509(registration("a"), state())->svid, first->svid);
  EXPECT_EQ(hub_.asked, 1);
  clock_.advance(std::chrono::minutes(1));
  auto second = svids_.x509(registration("a"), state());
  EXPECT_NE(second->svid, first->svid);
  EXPECT_NE(to_hex(second->svid->key_pkcs8.view()), to_hex(first->svid->key_pkcs8.view()));
}

TEST_F(SvidsTest, AHubThatIsAwayIsAskedAgainWithPauses) {
  auto first = svids_.x509(registration("a"), state());
  clock_.advance(std::chrono::minutes(30));
  hub_.problem = down;
  auto kept = svids_.x509(registration("a"), state());
  ASSERT_TRUE(kept);
  EXPECT_EQ(kept->svid, first->svid);
  EXPECT_EQ(kept->due, clock_.now() + std::chrono::seconds(1));
  EXPECT_EQ(svids_.x509(registration("a"), state())->svid, first->svid);
  EXPECT_EQ(hub_.asked, 2);  // not before the pause is over
  clock_.advance(std::chrono::seconds(1));
  EXPECT_EQ(svids_.x509(registration("a"), state())->due, clock_.now() + std::chrono::seconds(2));
  clock_.advance(std::chrono::minutes(30));
  EXPECT_EQ(svids_.x509(registration("a"), state()).error().code, ErrorCode::kUnavailable);  // it has expired
  hub_.problem.reset();
  EXPECT_NE(svids_.x509(registration("a"), state())->svid, first->svid);
}

TEST_F(SvidsTest, AreReplacedAtOnceWhenAnotherKeySigns) {
  auto first = svids_.x509(registration("a"), state());
  crypto::X509Certificate old_ca = *hub_.ca;
  hub_.rotate();
  hub_.problem = down;
  WorkloadState both = state();
  both.bundle.x509.push_back(old_ca);
  auto kept = svids_.x509(registration("a"), both);
  ASSERT_TRUE(kept);
  EXPECT_EQ(kept->svid, first->svid);
  EXPECT_FALSE(kept->of_signing_key);
  hub_.problem.reset();
  clock_.advance(std::chrono::seconds(1));
  auto fresh = svids_.x509(registration("a"), both);
  EXPECT_TRUE(fresh->of_signing_key);
  EXPECT_NE(fresh->svid, first->svid);
}

TEST_F(SvidsTest, OfAKeyThatIsTrustedNoMoreAreNotGiven) {
  ASSERT_TRUE(svids_.x509(registration("a"), state()));
  hub_.rotate();
  hub_.problem = down;
  EXPECT_EQ(svids_.x509(registration("a"), state()).error().code, ErrorCode::kUnavailable);
}

TEST_F(SvidsTest, WhatTheHubTakesBackIsNotGiven) {
  ASSERT_TRUE(svids_.x509(registration("a"), state()));
  clock_.advance(std::chrono::minutes(30));
  hub_.problem = Error{ErrorCode::kPermissionDenied, "not for this node"};
  EXPECT_EQ(svids_.x509(registration("a"), state()).error().code, ErrorCode::kPermissionDenied);
  hub_.problem = down;
  EXPECT_EQ(svids_.x509(registration("a"), state()).error().code, ErrorCode::kUnavailable);
}

TEST_F(SvidsTest, WhatTheHubSendsIsLookedAt) {
  hub_.uri = "spiffe://td/b";
  EXPECT_THAT(svids_.x509(registration("a"), state()).error().message, HasSubstr("another SPIFFE ID"));
  hub_.uri.clear();
  hub_.other_key = true;
  EXPECT_THAT(svids_.x509(registration("a"), state()).error().message, HasSubstr("another key"));
  hub_.other_key = false;
  WorkloadState of_before = state();
  hub_.rotate();
  EXPECT_THAT(svids_.x509(registration("a"), of_before).error().message, HasSubstr("does not know yet"));
}

TEST_F(SvidsTest, TokensAreSharedByAudience) {
  auto first = svids_.jwt(registration("a"), {"x", "y"}, state());
  ASSERT_TRUE(first);
  EXPECT_EQ(*svids_.jwt(registration("a"), {"y", "x", "x"}, state()), *first);
  EXPECT_NE(*svids_.jwt(registration("a"), {"x"}, state()), *first);
  EXPECT_NE(*svids_.jwt(registration("b"), {"x", "y"}, state()), *first);
  clock_.advance(std::chrono::minutes(2));
  EXPECT_NE(*svids_.jwt(registration("a"), {"x", "y"}, state()), *first);
  auto second = svids_.jwt(registration("a"), {"x", "y"}, state());
  jwt_key_ = new_key();
  EXPECT_NE(*svids_.jwt(registration("a"), {"x", "y"}, state()), *second);
}

TEST_F(SvidsTest, TheirNumberIsBounded) {
  for (int i = 0; i < 3000; ++i) {
    ASSERT_TRUE(svids_.jwt(registration("a"), {"audience " + std::to_string(i)}, state()));
  }
  int before = hub_.asked;
  ASSERT_TRUE(svids_.jwt(registration("a"), {"audience 2999"}, state()));
  EXPECT_EQ(hub_.asked, before);
}

// Keys that are retired must not come back by an answer that was overtaken.
TEST_F(SvidsTest, AnOlderStateIsPassedOver) {
  Answers answers(hub_, clock_, [](const Peer&, const spiffe::Process*, const Error&) {});
  WorkloadState newer = state();
  newer.revision = 5;
  newer.bundle.sequence = 4;
  EXPECT_TRUE(answers.put(newer));
  EXPECT_TRUE(answers.put(newer));  // labels of the node changed, say
  WorkloadState older = newer;
  older.revision = 4;
  EXPECT_FALSE(answers.put(older));
  older = newer;
  older.bundle.sequence = 3;
  EXPECT_FALSE(answers.put(older));
}

}  // namespace
}  // namespace mezite::agent
