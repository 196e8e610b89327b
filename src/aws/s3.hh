// Amazon S3, or what speaks like it, as far as whole objects that are written once need it.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "aws/client.hh"

namespace mezite::aws {

struct S3Options {
  std::string bucket;
  std::string region;    // "eu-central-1"
  std::string endpoint;  // in place of https://s3.<region>.amazonaws.com; empty: that one
  // Where the bucket's name goes. kAuto: into the host without an endpoint, else into the path.
  enum class Addressing { kAuto, kPath, kVirtualHost } addressing = Addressing::kAuto;
  enum class Encryption { kNone, kAes256, kKms } encryption = Encryption::kNone;
  std::string kms_key_id;  // for kKms; empty: S3's own key
  enum class MissingBucket { kRefuse, kCreate } missing_bucket = MissingBucket::kRefuse;
  CallOptions call;
};

// Keys are as they are, not encoded. Errors are sentences with the next step: kPermissionDenied names the missing
// permission, kNotFound (bucket, object or upload), kUnauthenticated (credentials, clock), kResourceExhausted
// (throttled to the end, or the store is full), kTimeout, kUnavailable. Thread-safe; calls block. Writing asks for
// nothing but s3:PutObject: no HEAD, no listing.
class S3 {
 public:
  static Result<std::unique_ptr<S3>> open(S3Options options, std::shared_ptr<CredentialChain> credentials,
                                          const Clock& clock = system_clock());

  // S3 limits: at most 5 GiB here and in a part; a part but the last has at least 5 MiB; at most 10,000 parts.
  static constexpr std::uint64_t kMinPartBytes = std::uint64_t{5} << 20;
  static constexpr std::uint64_t kMaxParts = 10'000;

  // What is kept with an object and comes with it: names in lower case, printable ASCII, together under 2 KiB.
  using Metadata = std::vector<std::pair<std::string, std::string>>;

  Status put(std::string_view key, std::string_view body, const Metadata& metadata = {});

  // The id of an upload whose parts may come in any order, and again.
  Result<std::string> begin_upload(std::string_view key, const Metadata& metadata = {});
  // number: from 1. Gives the part's ETag.
  Result<std::string> put_part(std::string_view key, std::string_view upload_id, std::uint64_t number,
                               std::string_view body);
  // The object is there, whole, when this succeeds. kNotFound: the upload is not known any more.
  Status finish_upload(std::string_view key, std::string_view upload_id, const std::vector<std::string>& etags);
  // Needs s3:AbortMultipartUpload.
  Status abort_upload(std::string_view key, std::string_view upload_id);

  struct Range {
    Bytes data;
    std::uint64_t object_bytes = 0;
    Metadata metadata;
  };
  // Needs s3:GetObject. Fewer bytes only at the object's end.
  Result<Range> get(std::string_view key, std::uint64_t offset, std::size_t max_bytes);
  // Needs s3:DeleteObject. No error when there is none.
  Status remove(std::string_view key);

  struct Page {
    std::vector<std::string> keys;  // in the order of their bytes
    std::string next;               // the token of the page after it; empty: there is none
  };
  // Some of the keys that begin with the prefix and come after `start_after`; with a token those of that page. Needs
  // s3:ListBucket.
  Result<Page> list(std::string_view prefix, std::string_view start_after, std::string_view token = {});

  void interrupt() { client_.interrupt(); }

  const CallLatency& latency() const { return client_.latency(); }
  const std::string& bucket() const { return options_.bucket; }

 private:
  S3(Endpoint endpoint, S3Options options, std::string path_prefix, std::shared_ptr<CredentialChain> credentials,
     const Clock& clock);
  Request request(std::string_view method, std::string_view key) const;
  void describe(Request& request, const Metadata& metadata) const;
  Result<net::http::ClientResponse> call(std::string_view operation, const Request& request, std::string_view body,
                                         std::string_view key, Repeat repeat = Repeat::kSafe);
  Status create_bucket();

  const S3Options options_;
  const std::string path_prefix_;  // "/bucket" or ""
  ServiceClient client_;
};

}  // namespace mezite::aws
