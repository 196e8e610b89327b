#include "aws/sts.hh"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>

#include "aws/sigv4.hh"
#include "base/text.hh"

namespace mezite::aws {
namespace {

using nlohmann::json;

constexpr std::string_view kAlgorithm = "AWS4-HMAC-SHA256 ";
constexpr std::string_view kContentType = "application/x-www-form-urlencoded; charset=utf-8";
constexpr std::size_t kMaxHeaderBytes = 4096;  // session tokens have no bound on paper, and about 1 KiB in fact
constexpr std::size_t kAnswerLimitBytes = 64 << 10;

struct Allowed {
  std::string_view name;
  bool required;
};
constexpr std::array kHeaders{Allowed{"authorization", true},  Allowed{"content-type", true},
                              Allowed{"host", true},           Allowed{"x-amz-date", true},
                              Allowed{kStatementHeader, true}, Allowed{"x-amz-security-token", false}};

bool is_plain(std::string_view text) {
  return std::ranges::all_of(text, [](char c) { return c >= ' ' && c < 0x7f; });
}

bool is_of(std::string_view text, std::string_view more) {
  return !text.empty() && text.size() <= 255 && std::ranges::all_of(text, [&](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || more.find(c) != std::string_view::npos;
  });
}

std::unexpected<Error> wrong(std::string_view what) {
  return fail(ErrorCode::kInvalidArgument, "the request to AWS STS is not the one that joining takes: {}", what);
}

const std::string* find(const CallerIdentityRequest& request, std::string_view name) {
  auto found = std::ranges::find(request.headers, name, &std::pair<std::string, std::string>::first);
  return found == request.headers.end() ? nullptr : &found->second;
}

// "AWS4-HMAC-SHA256 Credential=ID/day/region/sts/aws4_request, SignedHeaders=a;b, Signature=…"
Status check_authorization(std::string_view text, const CallerIdentityRequest& request, std::string_view region) {
  if (!text.starts_with(kAlgorithm)) return wrong("it is not signed with Signature Version 4");
  text.remove_prefix(kAlgorithm.size());
  std::string_view credential, names, signature;
  for (std::string_view part : split(text, ',')) {
    part = trim(part);
    std::size_t equals = part.find('=');
    std::string_view key = part.substr(0, equals);
    std::string_view value = equals == std::string_view::npos ? std::string_view() : part.substr(equals + 1);
    std::string_view* place = key == "Credential"      ? &credential
                              : key == "SignedHeaders" ? &names
                              : key == "Signature"     ? &signature
                                                       : nullptr;
    if (!place || !place->empty() || value.empty()) return wrong("its Authorization can't be read");
    *place = value;
  }
  std::vector<std::string_view> scope = split(credential, '/');
  if (scope.size() != 5 || scope[2] != region || scope[3] != "sts" || scope[4] != "aws4_request") {
    return wrong("it is signed for another service or region");
  }
  auto bytes = from_hex(signature);
  if (!bytes || bytes->size() != 32) return wrong("its signature has the wrong length");
  std::vector<std::string_view> is_signed = split(names, ';');
  for (const auto& [name, value] : request.headers) {
    if (name != "authorization" && std::ranges::find(is_signed, name) == is_signed.end()) {
      return wrong(fmt::format("the header {} is not signed", name));
    }
  }
  // A name that is signed but not sent would be one that somebody on the way could add.
  if (is_signed.size() != request.headers.size() - 1) return wrong("it signs headers that are not there");
  return {};
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

Result<std::string> check_caller_identity_request(const CallerIdentityRequest& request, const Endpoint& sts,
                                                  std::string_view region) {
  if (request.method != "POST") return wrong("its method is not POST");
  if (request.path != "/") return wrong("its path is not /");
  if (request.body != kCallerIdentityBody) return wrong("its body asks for something else");
  if (request.headers.size() > kHeaders.size()) return wrong("it has too many headers");
  for (const auto& [name, value] : request.headers) {
    auto known = std::ranges::find(kHeaders, std::string_view(name), &Allowed::name);
    if (known == kHeaders.end()) return wrong(fmt::format("it has a header {}", printable(name.substr(0, 80))));
    if (std::ranges::count(request.headers, name, &std::pair<std::string, std::string>::first) != 1) {
      return wrong(fmt::format("it has the header {} twice", name));
    }
    if (value.empty() || value.size() > kMaxHeaderBytes || !is_plain(value)) {
      return wrong(fmt::format("its header {} is empty, too long or not plain", name));
    }
  }
  for (const Allowed& header : kHeaders) {
    if (header.required && !find(request, header.name)) {
      return wrong(fmt::format("it has no header {}", header.name));
    }
  }
  if (*find(request, "host") != sts.host_header) {
    return wrong(fmt::format("it is for {}, and this hub asks {} only", printable(find(request, "host")->substr(0, 80)),
                             sts.host_header));
  }
  MEZ_CHECK(check_authorization(*find(request, "authorization"), request, region));
  return *find(request, kStatementHeader);
}

Result<CallerIdentity> read_caller_identity(const std::string& body) {
  json at = json::parse(body, nullptr, false);
  for (const char* name : {"GetCallerIdentityResponse", "GetCallerIdentityResult"}) {
    if (!at.is_object() || !at.contains(name)) return fail(ErrorCode::kUnavailable, "no '{}' in its answer", name);
    json inner = at.at(name);
    at = std::move(inner);
  }
  CallerIdentity who;
  for (auto [name, place] : {std::pair("Account", &who.account), std::pair("Arn", &who.arn)}) {
    auto found = at.is_object() ? at.find(name) : at.end();
    if (!at.is_object() || found == at.end() || !found->is_string()) {
      return fail(ErrorCode::kUnavailable, "no '{}' in its answer", name);
    }
    *place = found->get<std::string>();
  }
  bool digits = std::ranges::all_of(who.account, [](char c) { return c >= '0' && c <= '9'; });
  if (who.account.size() != 12 || !digits || who.arn.size() > 2048 || !is_plain(who.arn)) {
    return fail(ErrorCode::kUnavailable, "its answer names no account and ARN");
  }
  return who;
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
