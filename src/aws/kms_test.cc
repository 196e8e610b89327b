#include "aws/kms.hh"

#include <gtest/gtest.h>

#include <deque>
#include <future>
#include <nlohmann/json.hpp>

#include "aws/testing.hh"
#include "crypto/ecdsa_der.hh"

namespace mezite::aws {
namespace {

using namespace std::chrono_literals;

bool has(const std::string& text, std::string_view part) { return text.find(part) != std::string::npos; }

ScriptedServer::Answer refusal(int status, const std::string& code) {
  return {status, nlohmann::json{{"__type", "com.amazonaws.kms#" + code}, {"message", "because"}}.dump()};
}

// Answers in order; the last one again and again.
class KmsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    KmsOptions options{.region = "eu-central-1", .endpoint = server_.url()};
    options.call = {.try_timeout = 2s, .deadline = 4s, .tries = 4, .first_pause = 1ms, .longest_pause = 5ms};
    kms_ = Kms::open(options, std::make_shared<CredentialChain>([](std::string_view name) {
                       return name == "AWS_ACCESS_KEY_ID" || name == "AWS_SECRET_ACCESS_KEY"
                                  ? std::optional<std::string>("AKIA")
                                  : std::nullopt;
                     }))
               .value();
  }
  void answer(std::deque<ScriptedServer::Answer> answers) {
    const std::lock_guard lock(mutex_);
    answers_ = std::move(answers);
  }
  std::size_t calls() const { return server_.requests().size(); }

  std::mutex mutex_;
  std::deque<ScriptedServer::Answer> answers_;
  std::function<void()> asked_;
  ScriptedServer server_{[this](const std::string&) {
    if (asked_) asked_();
    const std::lock_guard lock(mutex_);
    auto next = answers_.front();
    if (answers_.size() > 1) answers_.pop_front();
    return next;
  }};
  std::unique_ptr<Kms> kms_;
  const ScriptedServer::Answer key_{
      200, R"({"KeyMetadata":{"KeyId":"k-1","Arn":"arn:aws:kms:eu-central-1:1:key/k-1","KeyState":"Enabled"}})"};
};

TEST_F(KmsTest, ThrottlesAndOutagesAreTriedAgain) {
  answer({refusal(400, "ThrottlingException"), refusal(503, "KMSInternalException"), {.silent = true}, key_});
  auto key = kms_->describe_key("alias/x");
  ASSERT_TRUE(key) << key.error().message;
  EXPECT_EQ(key->id, "k-1");
  EXPECT_EQ(key->state, "Enabled");
  EXPECT_EQ(calls(), 4u);
  const std::string metrics = kms_->latency().prometheus("mezite_kms_call");
  EXPECT_TRUE(has(metrics, "mezite_kms_call_seconds_count{operation=\"DescribeKey\"} 4\n")) << metrics;
  EXPECT_TRUE(has(metrics, "mezite_kms_call_errors_total{operation=\"DescribeKey\"} 3\n")) << metrics;
}

TEST_F(KmsTest, TriesEnd) {
  answer({refusal(400, "ThrottlingException")});
  auto refused = kms_->describe_key("alias/x");
  EXPECT_EQ(refused.error().code, ErrorCode::kResourceExhausted);
  EXPECT_EQ(calls(), 4u);
}

// A hub that is told to stop must not wait for a KMS that is away.
TEST_F(KmsTest, AnInterruptEndsPausesAndTries) {
  KmsOptions options{.region = "eu-central-1", .endpoint = server_.url()};
  options.call = {.try_timeout = 2s, .deadline = 1h, .tries = 1000, .first_pause = 30min, .longest_pause = 30min};
  auto kms = Kms::open(options, std::make_shared<CredentialChain>([](std::string_view name) {
                         return name.starts_with("AWS_ACCESS_KEY") || name == "AWS_SECRET_ACCESS_KEY"
                                    ? std::optional<std::string>("AKIA")
                                    : std::nullopt;
                       }))
                 .value();
  std::promise<void> asked;
  std::atomic<bool> first = true;
  asked_ = [&] {
    if (first.exchange(false)) asked.set_value();
  };
  answer({refusal(503, "KMSInternalException")});
  auto waiting = std::async(std::launch::async, [&] { return kms->describe_key("alias/x"); });
  asked.get_future().wait();
  kms->interrupt();
  ASSERT_EQ(waiting.wait_for(20s), std::future_status::ready);
  EXPECT_EQ(waiting.get().error().code, ErrorCode::kUnavailable);
  const std::size_t before = calls();
  EXPECT_FALSE(kms->describe_key("alias/x"));
  EXPECT_EQ(calls(), before + 1) << "one try each from then on";
}

TEST_F(KmsTest, ADeletionIsScheduledByIdForThirtyDays) {
  answer(
      {{200, R"({"KeyId":"arn:aws:kms:eu-central-1:1:key/k-1","DeletionDate":1.8E9,"KeyState":"PendingDeletion"})"}});
  auto at = kms_->schedule_key_deletion("k-1");
  ASSERT_TRUE(at) << at.error().message;
  EXPECT_EQ(to_unix_seconds(*at), 1'800'000'000);
  EXPECT_TRUE(has(server_.requests().back(), "TrentService.ScheduleKeyDeletion"));
  EXPECT_TRUE(has(server_.requests().back(), R"({"KeyId":"k-1","PendingWindowInDays":30})"));

  answer({refusal(400, "AccessDeniedException")});
  auto refused = kms_->schedule_key_deletion("k-1");
  EXPECT_EQ(refused.error().code, ErrorCode::kPermissionDenied);
  EXPECT_TRUE(has(refused.error().message, "grant the hub's IAM principal kms:ScheduleKeyDeletion"));

  for (const char* body :
       {"{}", R"({"DeletionDate":"soon"})", R"({"DeletionDate":-1})", R"({"DeletionDate":1e300})", "[]"}) {
    answer({{200, body}});
    EXPECT_EQ(kms_->schedule_key_deletion("k-1").error().code, ErrorCode::kProtocol) << body;
  }
}

// A key that may have been made already is not made twice; one that surely was not, is.
TEST_F(KmsTest, CreateKeyIsNotRepeatedWhenItMayHaveHappened) {
  answer({{.silent = true}});
  EXPECT_FALSE(kms_->create_key("test", {}));
  EXPECT_EQ(calls(), 1u);
  answer({refusal(500, "KMSInternalException")});
  EXPECT_FALSE(kms_->create_key("test", {}));
  EXPECT_EQ(calls(), 2u);
  answer({refusal(400, "ThrottlingException"), key_});
  EXPECT_TRUE(kms_->create_key("test", {{"team", "security"}}));
  EXPECT_EQ(calls(), 4u);
  const std::string sent = server_.requests().back();
  EXPECT_TRUE(has(sent, "X-Amz-Target: TrentService.CreateKey")) << sent;
  EXPECT_TRUE(has(sent, R"("Tags":[{"TagKey":"team","TagValue":"security"}])")) << sent;
  EXPECT_TRUE(has(sent, R"("KeySpec":"ECC_NIST_P256")")) << sent;
}

TEST_F(KmsTest, RefusalsNameThePermission) {
  answer({refusal(400, "AccessDeniedException")});
  auto key = kms_->create_key("test", {});
  EXPECT_EQ(key.error().code, ErrorCode::kPermissionDenied);
  EXPECT_TRUE(has(key.error().message, "grant the hub's IAM principal kms:CreateKey")) << key.error().message;
  auto alias = kms_->create_alias("alias/x", "k-1");
  EXPECT_TRUE(has(alias.error().message, "principal kms:CreateAlias on the alias")) << alias.error().message;
  auto signature = kms_->sign("alias/x", {});
  EXPECT_TRUE(has(signature.error().message, "principal kms:Sign on the key")) << signature.error().message;
  EXPECT_EQ(calls(), 3u) << "a refusal is final";
}

TEST_F(KmsTest, StaleCredentialsAreLookedForOnceMore) {
  answer({refusal(400, "ExpiredTokenException"), key_});
  EXPECT_TRUE(kms_->describe_key("alias/x"));
  answer({refusal(400, "ExpiredTokenException")});
  EXPECT_EQ(kms_->describe_key("alias/x").error().code, ErrorCode::kUnauthenticated);
  EXPECT_EQ(calls(), 4u);
}

TEST_F(KmsTest, HostileAnswers) {
  for (const char* body : {"", "[]", "null", "{", R"({"KeyMetadata":[]})", R"({"KeyMetadata":{"KeyId":7}})",
                           R"({"PublicKey":"!!"})", R"({"Signature":"AAAA"})", R"({"Signature":{}})"}) {
    answer({{200, body}});
    EXPECT_FALSE(kms_->describe_key("k")) << body;
    EXPECT_FALSE(kms_->get_public_key("k")) << body;
    EXPECT_FALSE(kms_->sign("k", {})) << body;
  }
  answer({{400, "<html>\x1b[31m"}});
  auto refused = kms_->describe_key("k");
  EXPECT_FALSE(has(refused.error().message, "\x1b"));
}

TEST_F(KmsTest, SignaturesComeAsRawNumbers) {
  auto key = crypto::SigningKey::generate(crypto::KeyAlgorithm::kEcdsaP256).value();
  auto raw = key.sign(crypto::SignatureHash::kSha256, as_bytes("hello")).value();
  answer({{200, nlohmann::json{{"Signature", to_base64(crypto::ecdsa_to_der(raw).value())}}.dump()}});
  EXPECT_EQ(kms_->sign("k", crypto::sha256(as_bytes("hello"))).value(), raw);
  auto other = crypto::SigningKey::generate(crypto::KeyAlgorithm::kEd25519).value();
  answer({{200, nlohmann::json{{"PublicKey", to_base64(other.public_key().spki())}}.dump()}});
  EXPECT_EQ(kms_->get_public_key("k").error().code, ErrorCode::kFailedPrecondition);
}

TEST(EcdsaDer, OnlyOneSignatureOfFittingNumbers) {
  auto key = crypto::SigningKey::generate(crypto::KeyAlgorithm::kEcdsaP256).value();
  Bytes der = crypto::ecdsa_to_der(key.sign(crypto::SignatureHash::kSha256, as_bytes("x")).value()).value();
  EXPECT_TRUE(crypto::ecdsa_from_der(der, 32));
  EXPECT_FALSE(crypto::ecdsa_from_der(der, 16));
  der.push_back(0);
  EXPECT_FALSE(crypto::ecdsa_from_der(der, 32));
  EXPECT_FALSE(crypto::ecdsa_from_der({}, 32));
  EXPECT_FALSE(crypto::ecdsa_from_der(Bytes(2000, 0x30), 32));
}

TEST(Endpoints, WhatIsOne) {
  EXPECT_EQ(parse_endpoint("https://kms.eu-central-1.amazonaws.com")->host_header, "kms.eu-central-1.amazonaws.com");
  EXPECT_EQ(parse_endpoint("http://[::1]:8080/")->host_header, "[::1]:8080");
  EXPECT_EQ(parse_endpoint("http://127.0.0.1")->port, 80);
  for (const char* bad : {"kms.example", "ftp://x", "https://", "https://a/b", "https://u@h", "https://a?b"}) {
    EXPECT_FALSE(parse_endpoint(bad)) << bad;
  }
  EXPECT_FALSE(Kms::open({.region = "a.b/c"}, nullptr));
}

}  // namespace
}  // namespace mezite::aws
