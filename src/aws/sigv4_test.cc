#include "aws/sigv4.hh"

#include <gtest/gtest.h>

namespace mezite::aws {
namespace {

const SystemTime kThen = parse_rfc3339("2013-05-24T00:00:00Z").value();
const SigningScope kS3{"us-east-1", "s3"};

Credentials example() {
  return {"AKIAIOSFODNN7EXAMPLE", Secret(std::string_view("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")), Secret(),
          std::nullopt, "test"};
}

// The examples of the S3 API reference, "Signature Calculations for the Authorization Header".
TEST(SigV4, TheS3ReferencesExamples) {
  Request get{.method = "GET", .host = "examplebucket.s3.amazonaws.com", .path = "/test.txt"};
  get.path_style = PathStyle::kS3;
  get.headers.add("Range", "bytes=0-9");
  EXPECT_EQ(sign(get, payload_hash({}), example(), kS3, kThen)->signature,
            "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41");
  Request list{.method = "GET", .host = "examplebucket.s3.amazonaws.com", .path = "/"};
  list.path_style = PathStyle::kS3;
  list.query = {{"prefix", "J"}, {"max-keys", "2"}};
  auto listed = sign(list, payload_hash({}), example(), kS3, kThen);
  EXPECT_EQ(listed->signature, "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7");
  EXPECT_EQ(listed->target, "/?max-keys=2&prefix=J");
}

// "Transferring Payload in Multiple Chunks": 65 KiB in chunks of 64 KiB.
TEST(SigV4, TheChunkedUploadOfTheReference) {
  Request put{.method = "PUT", .host = "s3.amazonaws.com", .path = "/examplebucket/chunkObject.txt"};
  put.path_style = PathStyle::kS3;
  put.headers.add("x-amz-storage-class", "REDUCED_REDUNDANCY");
  put.headers.add("Content-Encoding", "aws-chunked");
  put.headers.add("x-amz-decoded-content-length", "66560");
  put.headers.add("Content-Length", std::to_string(ChunkSigner::framed_size(66560, 65536)));
  EXPECT_EQ(put.headers.get("Content-Length"), "66824");
  auto seed = sign(put, kStreamingPayload, example(), kS3, kThen).value();
  EXPECT_EQ(seed.signature, "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9");
  ChunkSigner chunks(seed, example(), kS3, kThen);
  std::size_t total = 0;
  auto header_of = [&](std::size_t size) {
    Bytes framed = chunks.frame(Bytes(size, 'a'));
    total += framed.size();
    std::string_view text = as_text(framed);
    return std::string(text.substr(0, text.find('\r')));
  };
  EXPECT_EQ(header_of(65536), "10000;chunk-signature=ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648");
  EXPECT_EQ(header_of(1024), "400;chunk-signature=0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497");
  EXPECT_EQ(header_of(0), "0;chunk-signature=b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9");
  EXPECT_EQ(total, 66824u);
}

TEST(SigV4, WhatCannotBeSigned) {
  Request request{.method = "GET", .host = "h", .path = "no-slash"};
  EXPECT_EQ(sign(request, "", example(), kS3, kThen).error().code, ErrorCode::kInvalidArgument);
  request.path = "/";
  request.headers.add("X-A", "a\r\nX-B: b");
  EXPECT_EQ(sign(request, "", example(), kS3, kThen).error().code, ErrorCode::kInvalidArgument);
}

}  // namespace
}  // namespace mezite::aws
