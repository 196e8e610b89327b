// AWS Signature Version 4 (docs.aws.amazon.com: "Create a signed AWS API request"; S3: "Authenticating requests").
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/bytes.hh"
#include "base/clock.hh"
#include "base/result.hh"
#include "base/secret.hh"
#include "net/http/message.hh"

namespace mezite::aws {

struct Credentials {
  std::string access_key_id;
  Secret secret_access_key;
  Secret session_token;                  // empty: long-lived credentials
  std::optional<SystemTime> expires_at;  // empty: never
  std::string source;  // for messages: "environment", "shared credentials file …", "instance metadata"

  Credentials clone() const;
};

struct SigningScope {
  std::string region;
  std::string service;  // "kms", "s3", "sts"
};

// How the path becomes the canonical one: S3 encodes it once and takes it as it is; every other service encodes what
// is on the wire once more, after removing "." and ".." segments and double slashes.
enum class PathStyle { kService, kS3 };

// A request before it is signed: nothing in it is percent-encoded.
struct Request {
  std::string method;                                      // "POST"
  std::string host;                                        // with the port, when it is not the scheme's own
  std::string path = "/";                                  // begins with '/'
  std::vector<std::pair<std::string, std::string>> query;  // in any order; a value may be empty
  net::http::Headers headers;                              // all of them are signed, but for those below
  PathStyle path_style = PathStyle::kService;
};

// What is signed of the body: its SHA-256 as 64 hexadecimal digits, or one of the words.
inline constexpr std::string_view kUnsignedPayload = "UNSIGNED-PAYLOAD";                     // S3, over TLS
inline constexpr std::string_view kStreamingPayload = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD";  // S3, see ChunkSigner
std::string payload_hash(BytesView body);

struct Signed {
  std::string target;          // path and query for the request line, encoded
  net::http::Headers headers;  // those given, and Host, X-Amz-Date, Authorization, with S3 X-Amz-Content-Sha256, with a
                               // session token X-Amz-Security-Token
  std::string canonical_request;  // for tests and for the message of a refusal; holds no secret but the session token
  std::string signature;          // 64 hexadecimal digits
};

// kInvalidArgument: a path without '/', a control character in a header. Not signed, because proxies change them:
// Authorization, Expect, Transfer-Encoding, User-Agent, X-Amzn-Trace-Id.
Result<Signed> sign(const Request& request, std::string_view payload, const Credentials& credentials,
                    const SigningScope& scope, SystemTime now);

// RFC 3986: everything but letters, digits and "-._~" becomes %XX; slashes stay when asked to.
enum class Slashes { kEncode, kKeep };
std::string percent_encode(std::string_view text, Slashes slashes);

// Signs the chunks of an S3 upload of unknown content (aws-chunked): the request is signed with kStreamingPayload, and
// each chunk over the one before. One thread at a time.
class ChunkSigner {
 public:
  ChunkSigner(const Signed& request, const Credentials& credentials, SigningScope scope, SystemTime now);
  // The chunk as it goes over the wire: "<hex size>;chunk-signature=<64 digits>\r\n<data>\r\n". The last one is empty.
  Bytes frame(BytesView data);
  // How long a body of that many bytes is on the wire, in chunks of that size with the empty one at the end.
  static std::uint64_t framed_size(std::uint64_t body_bytes, std::uint64_t chunk_bytes);

 private:
  Secret key_;
  std::string scope_, date_, previous_;
};

}  // namespace mezite::aws
