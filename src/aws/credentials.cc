#include "aws/credentials.hh"

#include <fmt/format.h>
#include <stdlib.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "aws/endpoint.hh"
#include "base/file.hh"
#include "base/log.hh"
#include "base/text.hh"
#include "net/http/http_client.hh"

namespace mezite::aws {
namespace {

constexpr std::chrono::milliseconds kMetadataTimeout{1500};
constexpr std::size_t kMetadataLimitBytes = 64 << 10;
constexpr std::size_t kFileLimitBytes = 1 << 20;

std::string value_of(const Environment& environment, std::string_view name) {
  return environment(name).value_or(std::string());
}

Result<std::string> ask_metadata(const Endpoint& endpoint, std::string method, std::string target,
                                 net::http::Headers headers) {
  net::http::ClientRequest request;
  request.scheme = endpoint.scheme;
  request.peer = net::http::PeerKind::kOther;
  request.method = std::move(method);
  request.host = endpoint.host;
  request.port = endpoint.port;
  request.target = std::move(target);
  request.headers = std::move(headers);
  request.timeout = kMetadataTimeout;
  request.answer_limit_bytes = kMetadataLimitBytes;
  MEZ_TRY(auto response, net::http::request(request));
  if (response.status == 404) return fail(ErrorCode::kNotFound, "this instance has no role");
  if (response.status != 200) {
    return fail(ErrorCode::kUnavailable, "instance metadata: {} answered with status {}", endpoint.host_header,
                response.status);
  }
  return std::move(response.body);
}

net::http::Headers one_header(std::string name, std::string value) {
  net::http::Headers headers;
  headers.add(std::move(name), std::move(value));
  return headers;
}

bool is_plain_name(std::string_view text) {
  return !text.empty() && text.size() <= 128 && std::ranges::all_of(text, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           std::string_view("+=,.@_-").find(c) != std::string_view::npos;
  });
}

}  // namespace

Environment process_environment() {
  return [](std::string_view name) -> std::optional<std::string> {
    const char* value = ::getenv(std::string(name).c_str());
    if (value == nullptr || *value == '\0') return std::nullopt;
    return value;
  };
}

Result<Credentials> credentials_of_environment(const Environment& environment) {
  std::string id = value_of(environment, "AWS_ACCESS_KEY_ID");
  std::string secret = value_of(environment, "AWS_SECRET_ACCESS_KEY");
  if (id.empty() && secret.empty()) return fail(ErrorCode::kNotFound, "no AWS_ACCESS_KEY_ID");
  if (id.empty() || secret.empty()) {
    wipe(secret);
    return fail(ErrorCode::kInvalidArgument,
                "only one of AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY is set: set both, or neither");
  }
  std::string token = value_of(environment, "AWS_SESSION_TOKEN");
  Credentials found{std::move(id), Secret(std::string_view(secret)), Secret(std::string_view(token)), std::nullopt,
                    "environment"};
  wipe(secret);
  wipe(token);
  return found;
}

Result<Credentials> parse_credentials_file(std::string_view text, std::string_view profile) {
  Credentials found;
  bool here = false, seen = false;
  for (std::string_view line : split(text, '\n')) {
    line = trim(line);
    if (line.empty() || line[0] == '#' || line[0] == ';') continue;
    if (line.front() == '[') {
      if (line.back() != ']') return fail(ErrorCode::kInvalidArgument, "a section without ']'");
      here = trim(line.substr(1, line.size() - 2)) == profile;
      seen = seen || here;
      continue;
    }
    const std::size_t sign = line.find('=');
    if (!here || sign == std::string_view::npos) continue;
    const std::string_view name = trim(line.substr(0, sign)), value = trim(line.substr(sign + 1));
    if (name == "aws_access_key_id") found.access_key_id = std::string(value);
    if (name == "aws_secret_access_key") found.secret_access_key = Secret(value);
    if (name == "aws_session_token") found.session_token = Secret(value);
  }
  if (!seen) return fail(ErrorCode::kNotFound, "no profile [{}]", printable(profile));
  if (found.access_key_id.empty() || found.secret_access_key.empty()) {
    return fail(ErrorCode::kInvalidArgument, "profile [{}] has no aws_access_key_id and aws_secret_access_key",
                printable(profile));
  }
  return found;
}

Result<Credentials> credentials_of_file(const Environment& environment) {
  std::string path = value_of(environment, "AWS_SHARED_CREDENTIALS_FILE");
  const bool named = !path.empty();
  if (!named) path = value_of(environment, "HOME") + "/.aws/credentials";
  const std::string profile = value_of(environment, "AWS_PROFILE");
  auto content = read_file(path, kFileLimitBytes);
  if (!content) {
    if (content.error().code == ErrorCode::kNotFound && !named) return fail(ErrorCode::kNotFound, "no file {}", path);
    return std::unexpected(content.error());
  }
  const Secret text{BytesView(*content)};
  ::explicit_bzero(content->data(), content->size());
  auto found = parse_credentials_file(text.text(), profile.empty() ? "default" : profile);
  if (!found) {
    if (!profile.empty() && found.error().code == ErrorCode::kNotFound) {
      return fail(ErrorCode::kInvalidArgument, "{} has no profile [{}], which AWS_PROFILE names", path,
                  printable(profile));
    }
    return wrap(found.error(), path);
  }
  found->source = "shared credentials file " + path;
  return found;
}

Result<Credentials> credentials_of_instance(const Environment& environment) {
  if (value_of(environment, "AWS_EC2_METADATA_DISABLED") == "true") {
    return fail(ErrorCode::kNotFound, "instance metadata is switched off");
  }
  std::string url = value_of(environment, "AWS_EC2_METADATA_SERVICE_ENDPOINT");
  MEZ_TRY(const Endpoint endpoint, parse_endpoint(url.empty() ? "http://169.254.169.254" : url));
  MEZ_TRY(std::string token, ask_metadata(endpoint, "PUT", "/latest/api/token",
                                          one_header("X-aws-ec2-metadata-token-ttl-seconds", "21600")));
  const auto with_token = [&] { return one_header("X-aws-ec2-metadata-token", token); };
  constexpr std::string_view kFolder = "/latest/meta-data/iam/security-credentials/";
  MEZ_TRY(std::string listed, ask_metadata(endpoint, "GET", std::string(kFolder), with_token()));
  const std::string role(trim(split(listed, '\n').front()));
  if (!is_plain_name(role)) return fail(ErrorCode::kProtocol, "instance metadata names no role");
  MEZ_TRY(std::string body, ask_metadata(endpoint, "GET", std::string(kFolder) + role, with_token()));
  wipe(token);
  const auto json = nlohmann::json::parse(body, nullptr, false);
  wipe(body);
  const auto text = [&](const char* name) {
    const auto at = json.is_object() ? json.find(name) : json.end();
    return json.is_object() && at != json.end() && at->is_string() ? at->get<std::string>() : std::string();
  };
  std::string secret = text("SecretAccessKey"), session = text("Token");
  Credentials found{text("AccessKeyId"), Secret(std::string_view(secret)), Secret(std::string_view(session)),
                    std::nullopt, "instance metadata"};
  wipe(secret);
  wipe(session);
  auto expires_at = parse_rfc3339(text("Expiration"));
  if (text("Code") != "Success" || found.access_key_id.empty() || found.secret_access_key.empty() || !expires_at) {
    return fail(ErrorCode::kProtocol, "instance metadata gave no usable credentials of role {}", role);
  }
  found.expires_at = *expires_at;
  return found;
}

CredentialChain::CredentialChain(Environment environment, const Clock& clock)
    : environment_(std::move(environment)), clock_(clock) {}

Result<Credentials> CredentialChain::look() const {
  std::string missing;
  for (auto* place : {&credentials_of_environment, &credentials_of_file, &credentials_of_instance}) {
    auto found = place(environment_);
    if (found) return found;
    // What is there but broken must not make the hub act as somebody else.
    if (found.error().code == ErrorCode::kInvalidArgument) return found;
    missing += (missing.empty() ? "" : "; ") + found.error().message;
  }
  return fail(ErrorCode::kUnauthenticated,
              "no AWS credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or a shared credentials file, or "
              "give this instance a role ({})",
              missing);
}

Result<Credentials> CredentialChain::get() {
  const auto still_good = [this](SystemTime now) {  // under mutex_
    return current_ && (!current_->expires_at || *current_->expires_at > now);
  };
  std::unique_lock looking(looking_, std::defer_lock);
  {
    const std::lock_guard lock(mutex_);
    const SystemTime now = clock_.now();
    if (still_good(now) && (!current_->expires_at || now < renew_at_ || !looking.try_lock())) return current_->clone();
  }
  if (!looking.owns_lock()) looking.lock();
  {
    const std::lock_guard lock(mutex_);  // another thread may have been faster
    const SystemTime now = clock_.now();
    if (still_good(now) && (!current_->expires_at || now < renew_at_)) return current_->clone();
  }
  auto found = look();
  const std::lock_guard lock(mutex_);
  const SystemTime now = clock_.now();
  if (!found) {
    if (!still_good(now)) return found;
    log::warn("AWS credentials could not be renewed; those there are good until they expire",
              {{"error", found.error()}, {"expires_at", to_rfc3339(*current_->expires_at)}});
    renew_at_ = now + kRetryAfter;
    return current_->clone();
  }
  current_ = found->clone();
  if (current_->expires_at) renew_at_ = std::max<SystemTime>(*current_->expires_at - kRenewBefore, now + kRetryAfter);
  return found;
}

void CredentialChain::forget() {
  const std::lock_guard lock(mutex_);
  current_.reset();
}

}  // namespace mezite::aws
