#include "aws/sts.hh"

#include <gtest/gtest.h>

#include "aws/testing.hh"

namespace mezite::aws {
namespace {

using namespace std::chrono_literals;

bool has(const std::string& text, std::string_view part) { return text.find(part) != std::string::npos; }

constexpr std::string_view kAnswer =
    R"({"GetCallerIdentityResponse":{"GetCallerIdentityResult":{"Account":"111122223333",)"
    R"("Arn":"arn:aws:sts::111122223333:assumed-role/node/i-1","UserId":"x"},"ResponseMetadata":{}}})";

class StsTest : public ::testing::Test {
 protected:
  CallerIdentityRequest request(const std::string& token = "") {
    Credentials credentials{.access_key_id = "AKIATEST", .secret_access_key = Secret("secret"), .session_token = {}};
    if (!token.empty()) credentials.session_token = Secret(token);
    return sign_caller_identity(credentials, "sts.amazonaws.com", "us-east-1", "a statement",
                                SystemTime(std::chrono::seconds(1'800'000'000)))
        .value();
  }
  Result<std::string> check(const CallerIdentityRequest& one) {
    return check_caller_identity_request(one, endpoint_, "us-east-1");
  }
  // The header as it is after `change`.
  std::string refused(std::string_view name, const std::function<void(std::string&)>& change) {
    auto changed = request();
    for (auto& [header, value] : changed.headers) {
      if (header == name) change(value);
    }
    auto checked = check(changed);
    return checked ? "taken" : checked.error().message;
  }

  Endpoint endpoint_ = parse_endpoint("https://sts.amazonaws.com").value();
};

TEST_F(StsTest, WhatIsSignedIsTaken) {
  for (const char* token : {"", "a session's token"}) {
    auto statement = check(request(token));
    ASSERT_TRUE(statement) << statement.error().message;
    EXPECT_EQ(*statement, "a statement");
  }
}

TEST_F(StsTest, NothingElseIs) {
  using Change = std::function<void(CallerIdentityRequest&)>;
  const std::pair<const char*, Change> changes[] = {
      {"method", [](auto& r) { r.method = "GET"; }},
      {"path", [](auto& r) { r.path = "/?Action=AssumeRole"; }},
      {"path", [](auto& r) { r.path = "//"; }},
      {"body", [](auto& r) { r.body += "&Action=AssumeRole"; }},
      {"body", [](auto& r) { r.body = ""; }},
      {"header", [](auto& r) { r.headers.emplace_back("x-forwarded-host", "evil.example"); }},
      {"twice", [](auto& r) { r.headers.push_back(r.headers.front()); }},
      {"not signed", [](auto& r) { r.headers.emplace_back("x-amz-security-token", "t"); }},
      {"", [](auto& r) { r.headers.pop_back(); }},
      {"", [](auto& r) { r.headers.clear(); }},
      {"", [](auto& r) { r.headers.resize(1000, {"a", "b"}); }},
  };
  for (const auto& [what, change] : changes) {
    auto changed = request();
    change(changed);
    auto checked = check(changed);
    ASSERT_FALSE(checked) << what;
    EXPECT_EQ(checked.error().code, ErrorCode::kInvalidArgument);
    EXPECT_TRUE(has(checked.error().message, what)) << checked.error().message;
  }
}

TEST_F(StsTest, SignaturesThatAreNotWhatTheySeem) {
  auto replace = [](std::string from, std::string to) {
    return [from, to](std::string& text) {
      const std::size_t at = text.find(from);
      ASSERT_NE(at, std::string::npos) << text;
      text.replace(at, from.size(), to);
    };
  };
  EXPECT_TRUE(has(refused("authorization", replace("us-east-1", "eu-west-1")), "another service or region"));
  EXPECT_TRUE(has(refused("authorization", replace("/sts/", "/iam/")), "another service or region"));
  EXPECT_TRUE(has(refused("authorization", replace("AWS4-HMAC-SHA256", "AWS4-ECDSA-P256-SHA256")), "Version 4"));
  EXPECT_TRUE(has(refused("authorization", replace("Signature=", "Signature=00")), "wrong length"));
  EXPECT_TRUE(has(refused("authorization", replace("SignedHeaders=content-type;", "SignedHeaders=")), "not signed"));
  EXPECT_TRUE(has(refused("authorization", replace("SignedHeaders=", "SignedHeaders=accept;")), "not there"));
  EXPECT_TRUE(has(refused("authorization", replace("Credential=", "Credential=a, Credential=")), "can't be read"));
  EXPECT_TRUE(has(refused("authorization", replace("Signature=", "Signature=, Signature=")), "can't be read"));
  EXPECT_NE(refused("host", replace("sts.amazonaws.com", "sts.evil.example")), "taken");
  EXPECT_NE(refused("x-mezite-join", [](std::string& text) { text += "\r\nx-evil: 1"; }), "taken");
  EXPECT_NE(refused("x-mezite-join", [](std::string& text) { text.assign(10'000, 'a'); }), "taken");
}

TEST_F(StsTest, OnlyPlainValuesAreSigned) {
  const Credentials credentials{.access_key_id = "A", .secret_access_key = Secret("s"), .session_token = {}};
  const SystemTime now(std::chrono::seconds(1'800'000'000));
  EXPECT_FALSE(sign_caller_identity(credentials, "sts.example/path", "us-east-1", "s", now));
  EXPECT_FALSE(sign_caller_identity(credentials, "", "us-east-1", "s", now));
  EXPECT_FALSE(sign_caller_identity(credentials, "sts.example", "us east", "s", now));
  EXPECT_FALSE(sign_caller_identity(credentials, "sts.example", "us-east-1", "a\nb", now));
}

TEST(StsAnswer, NamesAccountAndArn) {
  auto who = read_caller_identity(std::string(kAnswer));
  ASSERT_TRUE(who) << who.error().message;
  EXPECT_EQ(who->account, "111122223333");
  EXPECT_EQ(who->arn, "arn:aws:sts::111122223333:assumed-role/node/i-1");
}

TEST(StsAnswer, AnythingElseIsNone) {
  for (const char* body :
       {"", "{", "[]", "null", "{}", R"({"GetCallerIdentityResponse":[]})",
        R"({"GetCallerIdentityResponse":{"GetCallerIdentityResult":7}})",
        R"({"GetCallerIdentityResponse":{"GetCallerIdentityResult":{"Account":"1","Arn":"a"}}})",
        R"({"GetCallerIdentityResponse":{"GetCallerIdentityResult":{"Account":111122223333,"Arn":"a"}}})",
        R"({"GetCallerIdentityResponse":{"GetCallerIdentityResult":{"Account":"11112222333x","Arn":"a"}}})",
        R"({"GetCallerIdentityResponse":{"GetCallerIdentityResult":{"Account":"111122223333"}}})",
        R"({"GetCallerIdentityResponse":{"GetCallerIdentityResult":{"Account":"111122223333","Arn":"a\nb"}}})",
        "<GetCallerIdentityResponse/>"}) {
    auto who = read_caller_identity(body);
    ASSERT_FALSE(who) << body;
    EXPECT_EQ(who.error().code, ErrorCode::kUnavailable);
  }
}

TEST_F(StsTest, OnlyATwoHundredIsBelieved) {
  ScriptedServer::Answer answer;
  ScriptedServer server([&](const std::string&) { return answer; });
  auto ask = [&](ScriptedServer::Answer next) {
    answer = std::move(next);
    return ask_caller_identity(parse_endpoint(server.url()).value(), request(), 5s);
  };
  auto who = ask({200, std::string(kAnswer)});
  ASSERT_TRUE(who) << who.error().message;
  EXPECT_EQ(who->account, "111122223333");
  EXPECT_TRUE(has(server.requests().at(0), "x-mezite-join: a statement"));

  for (int status : {201, 302, 307, 500, 503, 429}) {
    EXPECT_EQ(ask({status, std::string(kAnswer)}).error().code, ErrorCode::kUnavailable) << status;
  }
  auto refused = ask({403, R"({"Error":{"Code":"SignatureDoesNotMatch"}})"});
  EXPECT_EQ(refused.error().code, ErrorCode::kUnauthenticated);
  EXPECT_TRUE(has(refused.error().message, "SignatureDoesNotMatch") && has(refused.error().message, "clock"));
  EXPECT_EQ(ask({200, "no JSON"}).error().code, ErrorCode::kUnavailable);
  EXPECT_EQ(ask({.silent = true}).error().code, ErrorCode::kUnavailable);
}

}  // namespace
}  // namespace mezite::aws
