#include "aws/kms.hh"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "base/text.hh"
#include "crypto/ecdsa_der.hh"

namespace mezite::aws {
namespace {

using Json = nlohmann::json;

constexpr std::size_t kP256WidthBytes = 32;
constexpr std::size_t kMaxMessageBytes = 400;
constexpr int kDeletionDays = 30;
constexpr double kLatestSeconds = 253402300799;  // 9999-12-31

std::string text_of(const Json& json, const char* name) {
  if (!json.is_object()) return {};
  const auto at = json.find(name);
  return at != json.end() && at->is_string() ? at->get<std::string>() : std::string();
}

// AWS JSON 1.1: {"__type": "com.amazonaws.kms#NotFoundException", "message": "…"}.
ServiceError read_error(const net::http::ClientResponse& response) {
  const auto json = Json::parse(response.body, nullptr, false);
  std::string code = text_of(json, "__type");
  if (code.empty()) code = response.headers.get("x-amzn-ErrorType");
  if (const std::size_t hash = code.find('#'); hash != std::string::npos) code.erase(0, hash + 1);
  if (const std::size_t colon = code.find(':'); colon != std::string::npos) code.resize(colon);
  std::string message = text_of(json, "message");
  if (message.empty()) message = text_of(json, "Message");
  message.resize(std::min(message.size(), kMaxMessageBytes));
  return {printable(code.substr(0, 100)), printable(message)};
}

ErrorCode code_of(const ServiceClient::Answer& answer) {
  const std::string& code = answer.error.code;
  if (code == "AccessDeniedException") return ErrorCode::kPermissionDenied;
  if (code == "NotFoundException") return ErrorCode::kNotFound;
  if (code == "AlreadyExistsException") return ErrorCode::kAlreadyExists;
  if (code == "DisabledException" || code == "KMSInvalidStateException" || code == "InvalidKeyUsageException") {
    return ErrorCode::kFailedPrecondition;
  }
  if (code == "ThrottlingException" || code == "LimitExceededException" || answer.response.status == 429) {
    return ErrorCode::kResourceExhausted;
  }
  if (code == "ExpiredTokenException" || code == "UnrecognizedClientException" || code == "InvalidClientTokenId" ||
      code == "InvalidSignatureException" || code == "IncompleteSignatureException" ||
      code == "MissingAuthenticationTokenException" || code == "RequestExpired") {
    return ErrorCode::kUnauthenticated;
  }
  return answer.response.status >= 500 ? ErrorCode::kUnavailable : ErrorCode::kInvalidArgument;
}

std::string next_step(ErrorCode code, std::string_view operation) {
  switch (code) {
    case ErrorCode::kPermissionDenied:
      if (operation == "CreateKey") {
        return "grant the hub's IAM principal kms:CreateKey and kms:TagResource for the tags of ca.kms.key_tags";
      }
      if (operation == "CreateAlias")
        return "grant the hub's IAM principal kms:CreateAlias on the alias and on the key";
      return fmt::format("grant the hub's IAM principal kms:{} on the key", operation);
    case ErrorCode::kNotFound: return "check ca.kms.region, and that the key and its alias were not deleted";
    case ErrorCode::kFailedPrecondition: return "enable the key, or cancel its deletion, in KMS";
    case ErrorCode::kResourceExhausted: return "raise the KMS quota of the account, or try again later";
    case ErrorCode::kUnauthenticated: return "check the hub's AWS credentials and its clock";
    default: return "try again";
  }
}

// AWS JSON 1.1 has times as seconds since 1970, with or without a fraction.
std::optional<SystemTime> time_of(const Json& json, const char* name) {
  if (!json.is_object()) return std::nullopt;
  const auto at = json.find(name);
  if (at == json.end() || !at->is_number()) return std::nullopt;
  const double seconds = at->get<double>();
  if (!(seconds > 0) || seconds > kLatestSeconds) return std::nullopt;
  return from_unix_seconds(static_cast<std::int64_t>(seconds));
}

Result<KmsKey> read_key(const std::string& body) {
  const auto json = Json::parse(body, nullptr, false);
  const auto metadata = json.is_object() ? json.find("KeyMetadata") : json.end();
  if (!json.is_object() || metadata == json.end()) return fail(ErrorCode::kProtocol, "KMS told of no key");
  KmsKey key{text_of(*metadata, "KeyId"), text_of(*metadata, "Arn"), text_of(*metadata, "KeyState"),
             time_of(*metadata, "DeletionDate")};
  if (key.id.empty() || key.id.size() > 2048) return fail(ErrorCode::kProtocol, "KMS told of a key without an id");
  return key;
}

Result<Bytes> read_bytes(const std::string& body, const char* name) {
  return from_base64(text_of(Json::parse(body, nullptr, false), name));
}

}  // namespace

Result<std::unique_ptr<Kms>> Kms::open(KmsOptions options, std::shared_ptr<CredentialChain> credentials,
                                       const Clock& clock) {
  if (options.region.empty() || options.region.size() > 64 ||
      options.region.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789-") != std::string::npos) {
    return fail(ErrorCode::kInvalidArgument, "'{}' is not an AWS region; set ca.kms.region, e.g. eu-central-1",
                printable(options.region));
  }
  if (options.endpoint.empty()) {
    options.endpoint =
        fmt::format("https://kms.{}.amazonaws.com{}", options.region, options.region.starts_with("cn-") ? ".cn" : "");
  }
  MEZ_TRY(Endpoint endpoint, parse_endpoint(options.endpoint));
  return std::unique_ptr<Kms>(new Kms(std::move(endpoint), options, std::move(credentials), clock));
}

Kms::Kms(Endpoint endpoint, const KmsOptions& options, std::shared_ptr<CredentialChain> credentials, const Clock& clock)
    : client_(std::move(endpoint), {options.region, "kms"}, std::move(credentials), read_error, options.call, clock) {}

Result<std::string> Kms::call(std::string_view operation, std::string body, Repeat repeat, std::string_view subject) {
  Request request;
  request.method = "POST";
  request.headers.add("Content-Type", "application/x-amz-json-1.1");
  request.headers.add("X-Amz-Target", fmt::format("TrentService.{}", operation));
  auto answer = client_.call(operation, std::move(request), body, repeat);
  if (!answer) return wrap(answer.error(), fmt::format("kms:{} {}", operation, subject));
  if (answer->response.status / 100 == 2) return std::move(answer->response.body);
  const ErrorCode code = code_of(*answer);
  return fail(code, "kms:{} {} failed: {} ({}; HTTP {}); {}", operation, subject,
              answer->error.code.empty() ? "no reason given" : answer->error.code,
              answer->error.message.empty() ? "no message" : answer->error.message, answer->response.status,
              next_step(code, operation));
}

Result<KmsKey> Kms::create_key(std::string_view description, const std::map<std::string, std::string>& tags) {
  Json list = Json::array();
  for (const auto& [name, value] : tags) list.push_back({{"TagKey", name}, {"TagValue", value}});
  const Json body{{"Description", description},
                  {"KeySpec", "ECC_NIST_P256"},
                  {"KeyUsage", "SIGN_VERIFY"},
                  {"Origin", "AWS_KMS"},
                  {"Tags", list}};
  MEZ_TRY(const std::string answer, call("CreateKey", body.dump(), Repeat::kUnsafe, "of a CA key"));
  return read_key(answer);
}

Status Kms::create_alias(std::string_view alias, std::string_view key_id) {
  const Json body{{"AliasName", alias}, {"TargetKeyId", key_id}};
  MEZ_CHECK(call("CreateAlias", body.dump(), Repeat::kSafe, alias));
  return {};
}

Result<SystemTime> Kms::schedule_key_deletion(std::string_view key_id) {
  const Json body{{"KeyId", key_id}, {"PendingWindowInDays", kDeletionDays}};
  // Not made again when no answer came: it would be refused, since the key is pending deletion.
  MEZ_TRY(const std::string answer, call("ScheduleKeyDeletion", body.dump(), Repeat::kUnsafe, key_id));
  const auto at = time_of(Json::parse(answer, nullptr, false), "DeletionDate");
  if (!at) return fail(ErrorCode::kProtocol, "KMS did not say when it deletes {}", key_id);
  return *at;
}

Result<KmsKey> Kms::describe_key(std::string_view key) {
  MEZ_TRY(const std::string answer, call("DescribeKey", Json{{"KeyId", key}}.dump(), Repeat::kSafe, key));
  return read_key(answer);
}

Result<crypto::VerifyingKey> Kms::get_public_key(std::string_view key) {
  MEZ_TRY(const std::string answer, call("GetPublicKey", Json{{"KeyId", key}}.dump(), Repeat::kSafe, key));
  MEZ_TRY(const Bytes spki, read_bytes(answer, "PublicKey"));
  MEZ_TRY(auto public_key, crypto::VerifyingKey::from_spki(spki));
  if (public_key.algorithm() != crypto::KeyAlgorithm::kEcdsaP256) {
    return fail(ErrorCode::kFailedPrecondition, "{} is not an ECC_NIST_P256 key", key);
  }
  return public_key;
}

Result<Bytes> Kms::sign(std::string_view key, const crypto::Sha256Digest& digest) {
  const Json body{
      {"KeyId", key}, {"Message", to_base64(digest)}, {"MessageType", "DIGEST"}, {"SigningAlgorithm", "ECDSA_SHA_256"}};
  MEZ_TRY(const std::string answer, call("Sign", body.dump(), Repeat::kSafe, key));
  MEZ_TRY(const Bytes der, read_bytes(answer, "Signature"));
  return crypto::ecdsa_from_der(der, kP256WidthBytes);
}

}  // namespace mezite::aws
