#include "aws/s3.hh"

#include <gtest/gtest.h>

#include <deque>
#include <mutex>

#include "aws/testing.hh"

namespace mezite::aws {
namespace {

using namespace std::chrono_literals;

bool has(const std::string& text, std::string_view part) { return text.find(part) != std::string::npos; }

ScriptedServer::Answer refusal(int status, const std::string& code) {
  return {status, "<?xml version=\"1.0\"?><Error><Code>" + code + "</Code><Message>be&lt;cause</Message></Error>"};
}

// Answers in order; the last one again and again.
class S3Test : public ::testing::Test {
 protected:
  std::unique_ptr<S3> open(S3Options options = {}) {
    if (options.bucket.empty()) options.bucket = "bucket";
    options.region = "eu-central-1";
    options.endpoint = server_.url();
    options.call = {.try_timeout = 2s, .deadline = 4s, .tries = 3, .first_pause = 1ms, .longest_pause = 5ms};
    return S3::open(options, credentials()).value();
  }
  static std::shared_ptr<CredentialChain> credentials() {
    return std::make_shared<CredentialChain>([](std::string_view name) {
      return name == "AWS_ACCESS_KEY_ID" || name == "AWS_SECRET_ACCESS_KEY" ? std::optional<std::string>("AKIA")
                                                                            : std::nullopt;
    });
  }
  void answer(std::deque<ScriptedServer::Answer> answers) {
    const std::lock_guard lock(mutex_);
    answers_ = std::move(answers);
  }
  std::string last() const { return server_.requests().back(); }

  std::mutex mutex_;
  std::deque<ScriptedServer::Answer> answers_{{200, ""}};
  ScriptedServer server_{[this](const std::string&) {
    const std::lock_guard lock(mutex_);
    auto next = answers_.front();
    if (answers_.size() > 1) answers_.pop_front();
    return next;
  }};
};

TEST_F(S3Test, KeysAreEncodedOnceAndEncryptionIsAskedFor) {
  S3Options options;
  options.encryption = S3Options::Encryption::kKms;
  options.kms_key_id = "arn:aws:kms:eu-central-1:1:key/k-1";
  ASSERT_TRUE(open(options)->put("a b/é+.mezrec", "content"));
  EXPECT_TRUE(last().starts_with("PUT /bucket/a%20b/%C3%A9%2B.mezrec HTTP/1.1\r\n")) << last();
  EXPECT_TRUE(has(last(), "X-Amz-Server-Side-Encryption: aws:kms\r\n"));
  EXPECT_TRUE(has(last(), "X-Amz-Server-Side-Encryption-Aws-Kms-Key-Id: arn:aws:kms:eu-central-1:1:key/k-1\r\n"));
  // SHA-256 of "content", so that what is broken on the way is not stored.
  EXPECT_TRUE(has(last(), "ed7002b439e9ac845f22357d822bac1444730fbdb6016d3ec9432297b9ec9f73")) << last();
  options.encryption = S3Options::Encryption::kAes256;
  ASSERT_TRUE(open(options)->put("k", "content"));
  EXPECT_TRUE(has(last(), "X-Amz-Server-Side-Encryption: AES256\r\n"));
  EXPECT_FALSE(has(last(), "Kms-Key-Id"));
}

TEST_F(S3Test, OutagesAreTriedAgainAndRefusalsNameTheRight) {
  answer({refusal(500, "InternalError"), {.silent = true}, {200, ""}});
  EXPECT_TRUE(open()->put("k", "x"));
  EXPECT_EQ(server_.requests().size(), 3U);
  answer({refusal(403, "AccessDenied")});
  const auto refused = open()->put("k", "x");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kPermissionDenied);
  EXPECT_TRUE(has(refused.error().message, "s3:PutObject")) << refused.error().message;
  EXPECT_TRUE(has(refused.error().message, "be<cause"));
  EXPECT_TRUE(has(open()->get("k", 0, 10).error().message, "s3:GetObject"));
  answer({refusal(403, "SignatureDoesNotMatch")});
  EXPECT_EQ(open()->put("k", "x").error().code, ErrorCode::kUnauthenticated);
  answer({refusal(507, "InsufficientStorage")});
  EXPECT_EQ(open()->put("k", "x").error().code, ErrorCode::kResourceExhausted);
}

TEST_F(S3Test, WhatIsKeptWithAnObjectGoesAndComesBack) {
  ASSERT_TRUE(open()->put("k", "x", {{"sha256", "abc"}}));
  EXPECT_TRUE(has(last(), "X-Amz-Meta-Sha256: abc\r\n") || has(last(), "X-Amz-Meta-sha256: abc\r\n")) << last();
  EXPECT_TRUE(has(last(), "x-amz-meta-sha256")) << "it is signed: " << last();
  answer({{200, "<UploadId>u</UploadId>"}});
  ASSERT_TRUE(open()->begin_upload("k", {{"sha256", "abc"}}));
  EXPECT_TRUE(has(last(), "x-amz-meta-sha256")) << last();
  answer({{.status = 200, .body = "0123456789", .headers = "x-amz-meta-sha256: abc\r\nX-AMZ-META-Ended-At: then\r\n"}});
  const auto range = open()->get("k", 0, 4);
  ASSERT_TRUE(range);
  EXPECT_EQ(range->metadata, (S3::Metadata{{"sha256", "abc"}, {"ended-at", "then"}}));
}

TEST_F(S3Test, AnObjectThatReadsLikeAnErrorIsNone) {
  answer({{200, "echo '<Error><Code>NoSuchKey</Code></Error>'"}});
  const auto range = open()->get("k", 0, 100);
  ASSERT_TRUE(range) << range.error().message;
  EXPECT_EQ(range->data.size(), 44U);
}

TEST_F(S3Test, ListsPageByPage) {
  answer(
      {{200,
        "<?xml version=\"1.0\"?><ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Name>bucket</Name>"
        "<IsTruncated>true</IsTruncated><Contents><Key>p/a&amp;b</Key><Size>3</Size></Contents><Contents><Key>p/c</Key>"
        "</Contents><NextContinuationToken>1+/=&amp;</NextContinuationToken></ListBucketResult>"}});
  auto page = open()->list("p/", "p/0 1");
  ASSERT_TRUE(page) << page.error().message;
  EXPECT_EQ(page->keys, (std::vector<std::string>{"p/a&b", "p/c"}));
  EXPECT_EQ(page->next, "1+/=&");
  EXPECT_TRUE(
      last().starts_with("GET /bucket/?list-type=2&max-keys=500&prefix=p%2F&start-after=p%2F0%201 HTTP/1.1\r\n"))
      << last();
  EXPECT_FALSE(open()->list("p/", "", "1+/=&")) << "a page that leads to itself has no end";
  answer({{200,
           "<ListBucketResult><IsTruncated>false</IsTruncated><NextContinuationToken>x</NextContinuationToken>"
           "</ListBucketResult>"}});
  page = open()->list("p/", "p/0", "1+/=&");
  ASSERT_TRUE(page);
  EXPECT_TRUE(page->keys.empty() && page->next.empty());
  EXPECT_TRUE(has(last(), "?continuation-token=1%2B%2F%3D%26&list-type=2&max-keys=500&prefix=p%2F HTTP/1.1\r\n"))
      << last();
  answer({refusal(403, "AccessDenied")});
  EXPECT_TRUE(has(open()->list("p/", "").error().message, "s3:ListBucket on the bucket"));
  for (const char* body : {"", "<html>",
                           "<ListBucketResult><IsTruncated>true</IsTruncated><NextContinuationToken>a\nb</"
                           "NextContinuationToken>"}) {
    answer({{200, body}});
    EXPECT_FALSE(open()->list("p/", "")) << body;
  }
}

TEST_F(S3Test, FinishingThatFailsWithStatus200IsAFailure) {
  answer({refusal(200, "InternalError")});
  const auto finished = open()->finish_upload("k", "id", {"\"e1\"", "\"e2\""});
  ASSERT_FALSE(finished);
  EXPECT_TRUE(has(finished.error().message, "InternalError"));
  EXPECT_TRUE(has(last(), "<PartNumber>2</PartNumber><ETag>&quot;e2&quot;</ETag>")) << last();
  answer({refusal(404, "NoSuchUpload")});
  EXPECT_EQ(open()->finish_upload("k", "id", {"\"e1\""}).error().code, ErrorCode::kNotFound);
}

TEST_F(S3Test, TheBucketIsMadeOnceAndOnlyWhenAllowed) {
  answer({refusal(404, "NoSuchBucket"), {200, ""}, {200, ""}});
  const auto refused = open()->put("k", "x");
  ASSERT_FALSE(refused);
  EXPECT_TRUE(has(refused.error().message, "MEZITE_S3_AUTO_CREATE_BUCKET"));
  EXPECT_EQ(server_.requests().size(), 1U);
  answer({refusal(404, "NoSuchBucket"), {200, ""}, {200, ""}});
  S3Options options;
  options.missing_bucket = S3Options::MissingBucket::kCreate;
  ASSERT_TRUE(open(options)->put("k", "x"));
  const auto requests = server_.requests();
  ASSERT_EQ(requests.size(), 4U);
  EXPECT_TRUE(requests[2].starts_with("PUT /bucket/ HTTP/1.1\r\n"));
  EXPECT_TRUE(has(requests[2], "<LocationConstraint>eu-central-1</LocationConstraint>"));
  // One that can't be made, or is not there even then, ends it.
  answer({refusal(404, "NoSuchBucket"), {200, ""}, refusal(404, "NoSuchBucket")});
  EXPECT_EQ(open(options)->put("k", "x").error().code, ErrorCode::kNotFound);
}

TEST_F(S3Test, HostileAnswersAreErrors) {
  for (const char* body : {"", "<UploadId></UploadId>", "<UploadId>a\nb</UploadId>", "<html>", "<UploadId>"}) {
    answer({{200, body}});
    EXPECT_FALSE(open()->begin_upload("k")) << body;
  }
  answer({{200, ""}});
  EXPECT_FALSE(open()->put_part("k", "id", 1, "x"));  // no ETag
  answer({{206, "data"}});
  EXPECT_FALSE(open()->get("k", 0, 10));  // no Content-Range
}

TEST_F(S3Test, AStoreThatKnowsNoRangesIsReadAllTheSame) {
  answer({{200, "0123456789"}});
  const auto range = open()->get("k", 4, 3);
  ASSERT_TRUE(range);
  EXPECT_EQ(as_text(range->data), "456");
  EXPECT_EQ(range->object_bytes, 10U);
  answer({refusal(416, "InvalidRange")});
  EXPECT_TRUE(open()->get("k", 10, 3)->data.empty());
}

TEST_F(S3Test, WhatIsNoBucketAndNoRegionIsRefused) {
  for (const char* bucket : {"", "ab", "UPPER", "a/b", "-ab", "a..b", "a b"}) {
    S3Options options{.bucket = bucket, .region = "eu-central-1", .endpoint = {}, .kms_key_id = {}, .call = {}};
    EXPECT_FALSE(S3::open(options, credentials())) << bucket;
  }
  S3Options options{.bucket = "bucket", .region = "", .endpoint = {}, .kms_key_id = {}, .call = {}};
  EXPECT_TRUE(has(S3::open(options, credentials()).error().message, "recording.s3.region"));
}

}  // namespace
}  // namespace mezite::aws
