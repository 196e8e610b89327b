#include "aws/credentials.hh"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <map>

#include "aws/testing.hh"
#include "base/file.hh"

namespace mezite::aws {
namespace {

using namespace std::chrono_literals;

Environment environment_of(std::map<std::string, std::string, std::less<>> values) {
  values.emplace("AWS_EC2_METADATA_DISABLED", "true");
  values.emplace("HOME", "/nonexistent");
  return [values = std::move(values)](std::string_view name) -> std::optional<std::string> {
    auto at = values.find(name);
    return at == values.end() || at->second.empty() ? std::nullopt : std::optional(at->second);
  };
}

bool has(const std::string& text, std::string_view part) { return text.find(part) != std::string::npos; }

TEST(Credentials, OfTheEnvironment) {
  auto found = CredentialChain(environment_of({{"AWS_ACCESS_KEY_ID", "AKIA1"},
                                               {"AWS_SECRET_ACCESS_KEY", "s3cret"},
                                               {"AWS_SESSION_TOKEN", "token"}}))
                   .get();
  ASSERT_TRUE(found) << found.error().message;
  EXPECT_EQ(found->access_key_id, "AKIA1");
  EXPECT_EQ(found->secret_access_key.text(), "s3cret");
  EXPECT_EQ(found->session_token.text(), "token");
  EXPECT_FALSE(found->expires_at);
  // Half of a pair was meant to be used: nothing else takes its place.
  auto half = CredentialChain(environment_of({{"AWS_ACCESS_KEY_ID", "AKIA1"}})).get();
  EXPECT_EQ(half.error().code, ErrorCode::kInvalidArgument);
}

TEST(Credentials, OfTheSharedFile) {
  constexpr std::string_view kText =
      "# comment\n[default]\naws_access_key_id = AKIAD\r\naws_secret_access_key=one=two\n\n"
      "[ hub ]\naws_access_key_id=AKIAH\naws_secret_access_key = hub\naws_session_token = t\n[broken]\nregion = x\n";
  EXPECT_EQ(parse_credentials_file(kText, "default")->secret_access_key.text(), "one=two");
  EXPECT_EQ(parse_credentials_file(kText, "default")->access_key_id, "AKIAD");
  EXPECT_EQ(parse_credentials_file(kText, "hub")->session_token.text(), "t");
  EXPECT_EQ(parse_credentials_file(kText, "none").error().code, ErrorCode::kNotFound);
  EXPECT_EQ(parse_credentials_file(kText, "broken").error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(parse_credentials_file("[default\n", "default").error().code, ErrorCode::kInvalidArgument);

  char folder[] = "/tmp/mezite-aws-XXXXXX";
  ASSERT_NE(::mkdtemp(folder), nullptr);
  const std::filesystem::path path = std::filesystem::path(folder) / "credentials";
  ASSERT_TRUE(write_file(path, as_bytes(kText)));
  auto named = environment_of({{"AWS_SHARED_CREDENTIALS_FILE", path.string()}, {"AWS_PROFILE", "hub"}});
  EXPECT_EQ(CredentialChain(named).get()->access_key_id, "AKIAH");
  auto missing = environment_of({{"AWS_SHARED_CREDENTIALS_FILE", path.string()}, {"AWS_PROFILE", "nope"}});
  auto refused = CredentialChain(missing).get();
  EXPECT_TRUE(has(refused.error().message, "no profile [nope]")) << refused.error().message;
  std::filesystem::remove_all(folder);
}

TEST(Credentials, NoneAnywhereNamesEveryPlace) {
  auto none = CredentialChain(environment_of({})).get();
  EXPECT_EQ(none.error().code, ErrorCode::kUnauthenticated);
  for (std::string_view part : {"AWS_ACCESS_KEY_ID", "/nonexistent/.aws/credentials", "metadata is switched off"}) {
    EXPECT_TRUE(has(none.error().message, part)) << none.error().message;
  }
}

// Instance metadata, version 2: a token first; the credentials are renewed before they end, and a service that fails
// meanwhile does no harm as long as they last.
class InstanceCredentials : public ::testing::Test {
 protected:
  ScriptedServer::Answer answer(const std::string& request) {
    if (broken_) return {500, ""};
    if (request.starts_with("PUT /latest/api/token ")) {
      return has(request, "X-aws-ec2-metadata-token-ttl-seconds: 21600") ? ScriptedServer::Answer{200, "tok=="}
                                                                         : ScriptedServer::Answer{400, ""};
    }
    if (!has(request, "X-aws-ec2-metadata-token: tok==")) return {401, ""};
    if (request.starts_with("GET /latest/meta-data/iam/security-credentials/ ")) return {200, role_ + "\n"};
    if (!request.starts_with("GET /latest/meta-data/iam/security-credentials/hub-role ")) return {404, ""};
    const std::string number = std::to_string(++issued_);
    return {200, R"({"Code":"Success","AccessKeyId":"ASIA)" + number +
                     R"(","SecretAccessKey":"s","Token":"t","Expiration":")" + to_rfc3339(clock_.now() + 1h) + "\"}"};
  }

  std::atomic<bool> broken_ = false;
  std::string role_ = "hub-role";
  int issued_ = 0;
  ManualClock clock_{system_clock().now()};
  ScriptedServer server_{[this](const std::string& request) { return answer(request); }};
  Environment environment_ =
      environment_of({{"AWS_EC2_METADATA_DISABLED", ""}, {"AWS_EC2_METADATA_SERVICE_ENDPOINT", server_.url()}});
  CredentialChain chain_{environment_, clock_};
};

TEST_F(InstanceCredentials, AreRenewedBeforeTheyEnd) {
  auto first = chain_.get();
  ASSERT_TRUE(first) << first.error().message;
  EXPECT_EQ(first->access_key_id, "ASIA1");
  EXPECT_EQ(first->session_token.text(), "t");
  clock_.advance(54min);
  EXPECT_EQ(chain_.get()->access_key_id, "ASIA1");
  clock_.advance(2min);
  EXPECT_EQ(chain_.get()->access_key_id, "ASIA2");
  chain_.forget();
  EXPECT_EQ(chain_.get()->access_key_id, "ASIA3");
}

TEST_F(InstanceCredentials, StayGoodWhileTheServiceFails) {
  EXPECT_EQ(chain_.get()->access_key_id, "ASIA1");
  broken_ = true;
  clock_.advance(56min);
  EXPECT_EQ(chain_.get()->access_key_id, "ASIA1");
  const std::size_t asked = server_.requests().size();
  EXPECT_EQ(chain_.get()->access_key_id, "ASIA1");
  EXPECT_EQ(server_.requests().size(), asked) << "not asked at every call";
  clock_.advance(5min);
  EXPECT_EQ(chain_.get().error().code, ErrorCode::kUnauthenticated) << "expired";
  broken_ = false;
  EXPECT_EQ(chain_.get()->access_key_id, "ASIA2");
}

TEST_F(InstanceCredentials, AHostileRoleNameIsNoPath) {
  role_ = "../../user-data";
  EXPECT_FALSE(chain_.get());
  for (const std::string& request : server_.requests()) EXPECT_FALSE(has(request, "user-data")) << request;
}

}  // namespace
}  // namespace mezite::aws
