#include "aws/sts.hh"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "aws/sigv4.hh"
#include "base/text.hh"

namespace mezite::aws {
namespace {

using nlohmann::json;

constexpr std::string_view kContentType = "application/x-www-form-urlencoded; charset=utf-8";
constexpr std::size_t kAnswerLimitBytes = 64 << 10;

bool is_plain(std::string_view text) {
  return std::ranges::all_of(text, [](char c) { return c >= ' ' && c < 0x7f; });
}

bool is_of(std::string_view text, std::string_view more) {
  return !text.empty() && text.size() <= 255 && std::ranges::all_of(text, [&](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || more.find(c) != std::string_view::npos;
  });
}

std::string error_code_of(const std::string& body) {
  json answer = json::parse(body, nullptr, false);
  if (!answer.is_object()) return {};
  auto error = answer.find("Error");
  if (error == answer.end() || !error->is_object()) return {};
  auto code = error->find("Code");
  return code != error->end() && code->is_string() ? printable(code->get<std::string>().substr(0, 80)) : std::string();
}

}  // namespace

Result<CallerIdentityRequest> sign_caller_identity(const Credentials& credentials, const std::string& host,
                                                   const std::string& region, std::string_view statement,
                                                   SystemTime now) {
  if (!is_of(host, ".-:[]")) return fail(ErrorCode::kInvalidArgument, "'{}' is no host of AWS STS", printable(host));
  if (!is_of(region, "-")) return fail(ErrorCode::kInvalidArgument, "'{}' is no region", printable(region));
  if (!is_plain(statement)) return fail(ErrorCode::kInvalidArgument, "the statement to sign is not plain text");
  Request request{.method = "POST", .host = host, .path = "/", .query = {}, .headers = {}};
  request.headers.set("content-type", std::string(kContentType));
  request.headers.set(std::string(kStatementHeader), std::string(statement));
  MEZ_TRY(Signed ready, sign(request, payload_hash(as_bytes(kCallerIdentityBody)), credentials,
                             {.region = region, .service = "sts"}, now));
  CallerIdentityRequest out{
      .method = request.method, .path = ready.target, .body = std::string(kCallerIdentityBody), .headers = {}};
  for (const auto& [name, value] : ready.headers.all()) {
    std::string small = name;
    std::ranges::transform(small, small.begin(), [](char c) { return c >= 'A' && c <= 'Z' ? char(c + 32) : c; });
    out.headers.emplace_back(std::move(small), value);
  }
  return out;
}

Result<CallerIdentity> ask_caller_identity(const Endpoint& sts, const CallerIdentityRequest& request,
                                           std::chrono::milliseconds timeout) {
  net::http::ClientRequest wire;
  wire.scheme = sts.scheme;
  wire.peer = net::http::PeerKind::kOther;
  wire.method = "POST";
  wire.host = sts.host;
  wire.port = sts.port;
  wire.target = "/";
  for (const auto& [name, value] : request.headers) wire.headers.add(name, value);
  wire.headers.add("accept", "application/json");
  wire.body = std::string(kCallerIdentityBody);
  wire.timeout = timeout;
  wire.answer_limit_bytes = kAnswerLimitBytes;
  auto response = net::http::request(wire);
  if (!response) {
    return fail(ErrorCode::kUnavailable, "AWS STS ({}) does not answer the hub: {}; check the hub's way there",
                sts.host_header, response.error().message);
  }
  if (response->status == 200) {
    auto who = read_caller_identity(response->body);
    if (who) return who;
    return fail(ErrorCode::kUnavailable, "AWS STS ({}): {}; check auth.iam.sts_endpoint", sts.host_header,
                who.error().message);
  }
  std::string code = error_code_of(response->body);
  if (code.empty()) code = fmt::format("status {}", response->status);
  if (response->status / 100 == 4 && response->status != 429) {
    return fail(
        ErrorCode::kUnauthenticated,
        "AWS STS ({}) does not take this machine's signature ({}): check its role or credentials, and its clock",
        sts.host_header, code);
  }
  return fail(ErrorCode::kUnavailable, "AWS STS ({}) fails ({}); joining is tried again", sts.host_header, code);
}

}  // namespace mezite::aws
