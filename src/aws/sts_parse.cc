// What strangers and STS say: pure functions of it.
#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>

#include "aws/sts.hh"
#include "base/text.hh"

namespace mezite::aws {
namespace {

using nlohmann::json;

constexpr std::string_view kAlgorithm = "AWS4-HMAC-SHA256 ";
constexpr std::size_t kMaxHeaderBytes = 4096;  // session tokens have no bound on paper, and about 1 KiB in fact

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

}  // namespace

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

}  // namespace mezite::aws
