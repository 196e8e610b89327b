#include "aws/s3.hh"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "base/ascii.hh"
#include "base/log.hh"
#include "base/text.hh"

namespace mezite::aws {
namespace {

constexpr std::size_t kMaxMessageBytes = 400;
constexpr std::size_t kMaxIdBytes = 2048;
constexpr std::string_view kMetadataPrefix = "x-amz-meta-";

// The text of the first element of that name. S3's answers are flat, and hold no comments and no CDATA.
std::string element(std::string_view xml, std::string_view name) {
  const std::string open = fmt::format("<{}>", name);
  const std::size_t begin = xml.find(open);
  if (begin == xml.npos) return {};
  const std::string_view rest = xml.substr(begin + open.size());
  std::string text(rest.substr(0, rest.find('<')));
  constexpr std::pair<std::string_view, char> kEntities[] = {{"&quot;", '"'}, {"&#34;", '"'}, {"&apos;", '\''},
                                                             {"&lt;", '<'},   {"&gt;", '>'},  {"&amp;", '&'}};
  for (const auto& [entity, letter] : kEntities) {
    for (std::size_t at = 0; (at = text.find(entity, at)) != text.npos; ++at) {
      text.replace(at, entity.size(), 1, letter);
    }
  }
  return text;
}

std::string quoted(std::string_view text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '&': out += "&amp;"; break;
      case '<': out += "&lt;"; break;
      case '>': out += "&gt;"; break;
      case '"': out += "&quot;"; break;
      default: out += c;
    }
  }
  return out;
}

ServiceError read_error(const net::http::ClientResponse& response) {
  std::string message = element(response.body, "Message");
  message.resize(std::min(message.size(), kMaxMessageBytes));
  return {printable(element(response.body, "Code").substr(0, 100)), printable(message)};
}

ErrorCode code_of(int status, const std::string& code) {
  if (code == "NoSuchBucket" || code == "NoSuchKey" || code == "NoSuchUpload") return ErrorCode::kNotFound;
  if (code == "ExpiredToken" || code == "InvalidAccessKeyId" || code == "SignatureDoesNotMatch" ||
      code == "RequestTimeTooSkewed" || code == "InvalidToken" || status == 401) {
    return ErrorCode::kUnauthenticated;
  }
  if (code == "SlowDown" || status == 429 || status == 507) return ErrorCode::kResourceExhausted;
  if (code == "AccessDenied" || status == 403) return ErrorCode::kPermissionDenied;
  if (status == 404) return ErrorCode::kNotFound;
  if (code == "BadDigest" || code == "XAmzContentSHA256Mismatch" || code == "IncompleteBody") {
    return ErrorCode::kUnavailable;  // broken on the way
  }
  return status >= 500 ? ErrorCode::kUnavailable : ErrorCode::kInvalidArgument;
}

std::string_view permission_of(std::string_view operation) {
  if (operation == "GetObject" || operation == "DeleteObject" || operation == "CreateBucket") return operation;
  if (operation == "ListObjectsV2") return "ListBucket";
  return operation == "AbortMultipartUpload" ? operation : "PutObject";
}

std::string next_step(ErrorCode code, std::string_view operation, std::string_view bucket) {
  switch (code) {
    case ErrorCode::kPermissionDenied:
      return fmt::format("grant the hub's IAM principal s3:{} on the bucket '{}' and recording.s3.prefix",
                         permission_of(operation), bucket);
    case ErrorCode::kNotFound:
      return "check recording.s3.bucket and .region, or let the hub make the bucket with "
             "MEZITE_S3_AUTO_CREATE_BUCKET=true";
    case ErrorCode::kUnauthenticated: return "check the hub's AWS credentials and its clock";
    case ErrorCode::kResourceExhausted: return "make room in the store, or raise its limits";
    default: return "check recording.s3.endpoint and the store";
  }
}

bool is_bucket_name(std::string_view name) {
  const auto fine = [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.'; };
  return name.size() >= 3 && name.size() <= 63 && std::ranges::all_of(name, fine) && name.front() != '-' &&
         name.front() != '.' && name.back() != '-' && name.back() != '.' && name.find("..") == name.npos;
}

}  // namespace

Result<std::unique_ptr<S3>> S3::open(S3Options options, std::shared_ptr<CredentialChain> credentials,
                                     const Clock& clock) {
  if (!is_bucket_name(options.bucket)) {
    return fail(ErrorCode::kInvalidArgument, "'{}' is not the name of an S3 bucket; set recording.s3.bucket",
                printable(options.bucket));
  }
  if (options.region.empty() || options.region.size() > 64 ||
      options.region.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789-") != std::string::npos) {
    return fail(ErrorCode::kInvalidArgument, "'{}' is not an AWS region; set recording.s3.region, e.g. eu-central-1",
                printable(options.region));
  }
  const bool own_endpoint = !options.endpoint.empty();
  if (!own_endpoint) {
    options.endpoint =
        fmt::format("https://s3.{}.amazonaws.com{}", options.region, options.region.starts_with("cn-") ? ".cn" : "");
  }
  MEZ_TRY(Endpoint endpoint, parse_endpoint(options.endpoint));
  using enum S3Options::Addressing;
  if (options.addressing == kAuto) options.addressing = own_endpoint ? kPath : kVirtualHost;
  std::string path_prefix;
  if (options.addressing == kVirtualHost) {
    endpoint.host = options.bucket + "." + endpoint.host;
    endpoint.host_header = options.bucket + "." + endpoint.host_header;
  } else {
    path_prefix = "/" + options.bucket;
  }
  return std::unique_ptr<S3>(
      new S3(std::move(endpoint), std::move(options), std::move(path_prefix), std::move(credentials), clock));
}

S3::S3(Endpoint endpoint, S3Options options, std::string path_prefix, std::shared_ptr<CredentialChain> credentials,
       const Clock& clock)
    : options_(std::move(options)),
      path_prefix_(std::move(path_prefix)),
      client_(std::move(endpoint), {options_.region, "s3"}, std::move(credentials), read_error, options_.call, clock) {}

Request S3::request(std::string_view method, std::string_view key) const {
  Request request;
  request.method = std::string(method);
  request.path = path_prefix_ + "/" + std::string(key);
  request.path_style = PathStyle::kS3;
  return request;
}

void S3::describe(Request& request, const Metadata& metadata) const {
  request.headers.add("Content-Type", "application/octet-stream");
  for (const auto& [name, value] : metadata) request.headers.add(fmt::format("X-Amz-Meta-{}", name), value);
  if (options_.encryption == S3Options::Encryption::kNone) return;
  const bool kms = options_.encryption == S3Options::Encryption::kKms;
  request.headers.add("X-Amz-Server-Side-Encryption", kms ? "aws:kms" : "AES256");
  if (kms && !options_.kms_key_id.empty()) {
    request.headers.add("X-Amz-Server-Side-Encryption-Aws-Kms-Key-Id", options_.kms_key_id);
  }
}

Result<net::http::ClientResponse> S3::call(std::string_view operation, const Request& request, std::string_view body,
                                           std::string_view key, Repeat repeat) {
  const auto subject = [&] { return fmt::format("s3:{} {}/{}", operation, options_.bucket, key); };
  for (bool bucket_made = false;; bucket_made = true) {
    auto answer = client_.call(operation, request, body, repeat);
    if (!answer) return wrap(answer.error(), subject());
    // What goes wrong late in finishing an upload comes with status 200 and an error for a body. An object's own bytes
    // may read like one.
    const bool succeeded = answer->response.status / 100 == 2;
    if (succeeded && (operation == "GetObject" || answer->response.body.find("<Error>") == std::string::npos)) {
      return std::move(answer->response);
    }
    const ServiceError error = succeeded ? read_error(answer->response) : std::move(answer->error);
    const int status = succeeded ? 500 : answer->response.status;
    if (error.code == "NoSuchBucket" && options_.missing_bucket == S3Options::MissingBucket::kCreate && !bucket_made &&
        permission_of(operation) == "PutObject") {
      MEZ_CHECK(create_bucket());
      continue;
    }
    const ErrorCode code = code_of(status, error.code);
    return fail(code, "{} failed: {} ({}; HTTP {}); {}", subject(), error.code.empty() ? "no reason given" : error.code,
                error.message.empty() ? "no message" : error.message, answer->response.status,
                next_step(code, operation, options_.bucket));
  }
}

Status S3::create_bucket() {
  log::info("making the bucket for recordings", {{"bucket", options_.bucket}, {"region", options_.region}});
  Request wanted = request("PUT", "");
  std::string body;
  if (options_.region != "us-east-1") {  // which is S3's default, and refused by name
    body = fmt::format(
        "<CreateBucketConfiguration xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><LocationConstraint>{}"
        "</LocationConstraint></CreateBucketConfiguration>",
        options_.region);
  }
  auto made = client_.call("CreateBucket", wanted, body, Repeat::kSafe);
  if (!made) return wrap(made.error(), fmt::format("s3:CreateBucket {}", options_.bucket));
  if (made->response.status / 100 == 2 || made->error.code == "BucketAlreadyOwnedByYou") return {};
  const ErrorCode code = code_of(made->response.status, made->error.code);
  return fail(code, "s3:CreateBucket {} failed: {} ({}; HTTP {}); {}", options_.bucket, made->error.code,
              made->error.message, made->response.status, next_step(code, "CreateBucket", options_.bucket));
}

Status S3::put(std::string_view key, std::string_view body, const Metadata& metadata) {
  Request wanted = request("PUT", key);
  describe(wanted, metadata);
  MEZ_CHECK(call("PutObject", wanted, body, key));
  return {};
}

Result<std::string> S3::begin_upload(std::string_view key, const Metadata& metadata) {
  Request wanted = request("POST", key);
  wanted.query = {{"uploads", ""}};
  describe(wanted, metadata);
  MEZ_TRY(const auto answer, call("CreateMultipartUpload", wanted, "", key));
  std::string id = element(answer.body, "UploadId");
  if (id.empty() || id.size() > kMaxIdBytes || printable(id) != id) {
    return fail(ErrorCode::kProtocol, "s3:CreateMultipartUpload {} gave no upload id", key);
  }
  return id;
}

Result<std::string> S3::put_part(std::string_view key, std::string_view upload_id, std::uint64_t number,
                                 std::string_view body) {
  Request wanted = request("PUT", key);
  wanted.query = {{"partNumber", fmt::format("{}", number)}, {"uploadId", std::string(upload_id)}};
  MEZ_TRY(const auto answer, call("UploadPart", wanted, body, key));
  std::string etag(answer.headers.get("ETag"));
  if (etag.empty() || etag.size() > 256 || printable(etag) != etag) {
    return fail(ErrorCode::kProtocol, "s3:UploadPart {} gave no ETag", key);
  }
  return etag;
}

Status S3::finish_upload(std::string_view key, std::string_view upload_id, const std::vector<std::string>& etags) {
  Request wanted = request("POST", key);
  wanted.query = {{"uploadId", std::string(upload_id)}};
  wanted.headers.add("Content-Type", "application/xml");
  std::string body = "<CompleteMultipartUpload xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">";
  for (std::size_t i = 0; i < etags.size(); ++i) {
    body += fmt::format("<Part><PartNumber>{}</PartNumber><ETag>{}</ETag></Part>", i + 1, quoted(etags[i]));
  }
  body += "</CompleteMultipartUpload>";
  MEZ_CHECK(call("CompleteMultipartUpload", wanted, body, key));
  return {};
}

Status S3::abort_upload(std::string_view key, std::string_view upload_id) {
  Request wanted = request("DELETE", key);
  wanted.query = {{"uploadId", std::string(upload_id)}};
  const auto answer = call("AbortMultipartUpload", wanted, "", key);
  if (!answer && answer.error().code != ErrorCode::kNotFound) return std::unexpected(answer.error());
  return {};
}

Result<S3::Range> S3::get(std::string_view key, std::uint64_t offset, std::size_t max_bytes) {
  Request wanted = request("GET", key);
  wanted.headers.add("Range", fmt::format("bytes={}-{}", offset, offset + std::max<std::size_t>(max_bytes, 1) - 1));
  auto answer = call("GetObject", wanted, "", key);
  Range range;
  if (!answer) {
    if (answer.error().message.find("HTTP 416") == std::string::npos) return std::unexpected(answer.error());
    range.object_bytes = offset;  // nothing from there on
    return range;
  }
  range.data = to_bytes(as_bytes(answer->body));
  for (const auto& [name, value] : answer->headers.all()) {
    const std::string in_lower = lower(name);
    if (in_lower.starts_with(kMetadataPrefix)) {
      range.metadata.emplace_back(in_lower.substr(kMetadataPrefix.size()), value);
    }
  }
  if (answer->status == 200) {  // the store does not know ranges: all of it came
    range.object_bytes = range.data.size();
    range.data.erase(range.data.begin(), range.data.begin() + static_cast<std::ptrdiff_t>(
                                                                  std::min<std::uint64_t>(offset, range.data.size())));
    if (range.data.size() > max_bytes) range.data.resize(max_bytes);
    return range;
  }
  const std::string_view shown = answer->headers.get("Content-Range");  // "bytes 0-99/1234"
  const std::size_t slash = shown.rfind('/');
  const std::string_view total = slash == shown.npos ? std::string_view() : shown.substr(slash + 1);
  const auto [end, error] = std::from_chars(total.data(), total.data() + total.size(), range.object_bytes);
  if (total.empty() || error != std::errc() || end != total.data() + total.size() || range.data.size() > max_bytes) {
    return fail(ErrorCode::kProtocol, "s3:GetObject {} gave a range that was not asked for", key);
  }
  return range;
}

Result<S3::Page> S3::list(std::string_view prefix, std::string_view start_after, std::string_view token) {
  Request wanted = request("GET", "");
  wanted.query = {{"list-type", "2"}, {"max-keys", "500"}, {"prefix", std::string(prefix)}};
  if (!token.empty()) {
    wanted.query.emplace_back("continuation-token", token);
  } else if (!start_after.empty()) {
    wanted.query.emplace_back("start-after", start_after);
  }
  MEZ_TRY(const auto answer, call("ListObjectsV2", wanted, "", prefix));
  const std::string_view body = answer.body;
  if (body.find("<ListBucketResult") == body.npos) {
    return fail(ErrorCode::kProtocol, "s3:ListObjectsV2 {} gave no list", options_.bucket);
  }
  Page page;
  constexpr std::string_view kObject = "<Contents>";
  for (std::size_t at = 0; (at = body.find(kObject, at)) != body.npos;) {
    const std::size_t end = body.find("</Contents>", at);
    page.keys.push_back(element(body.substr(at, end == body.npos ? end : end - at), "Key"));
    at += kObject.size();
  }
  if (element(body, "IsTruncated") == "true") page.next = element(body, "NextContinuationToken");
  if (page.next.size() > kMaxIdBytes || printable(page.next) != page.next || (!token.empty() && page.next == token)) {
    return fail(ErrorCode::kProtocol, "s3:ListObjectsV2 {} gave no token for what comes next", options_.bucket);
  }
  return page;
}

Status S3::remove(std::string_view key) {
  const auto answer = call("DeleteObject", request("DELETE", key), "", key);
  if (!answer && answer.error().code != ErrorCode::kNotFound) return std::unexpected(answer.error());
  return {};
}

}  // namespace mezite::aws
