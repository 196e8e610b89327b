#include "net/http/message.hh"

#include <algorithm>

#include "base/text.hh"

namespace mezite::net::http {
namespace {

bool same_name(std::string_view a, std::string_view b) {
  return std::ranges::equal(a, b, [](char x, char y) {
    auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; };
    return lower(x) == lower(y);
  });
}

std::string_view find_value(const std::vector<std::pair<std::string, std::string>>& list, std::string_view name) {
  for (const auto& [key, value] : list) {
    if (key == name) return value;
  }
  return {};
}

}  // namespace

void Headers::set(std::string name, std::string value) {
  std::erase_if(fields_, [&](const auto& field) { return same_name(field.first, name); });
  add(std::move(name), std::move(value));
}

std::string_view Headers::get(std::string_view name) const {
  for (const auto& [key, value] : fields_) {
    if (same_name(key, name)) return value;
  }
  return {};
}

std::size_t Headers::count(std::string_view name) const {
  return static_cast<std::size_t>(
      std::ranges::count_if(fields_, [&](const auto& field) { return same_name(field.first, name); }));
}

bool Headers::has(std::string_view name) const { return count(name) > 0; }

std::string_view Request::path_value(std::string_view name) const { return find_value(path_values, name); }
std::string_view Request::query_value(std::string_view name) const { return find_value(query, name); }

std::string_view Request::bearer_token() const {
  std::string_view value = headers.get("Authorization");
  constexpr std::string_view kScheme = "bearer ";
  if (value.size() <= kScheme.size() || !same_name(value.substr(0, kScheme.size()), kScheme)) return {};
  return trim(value.substr(kScheme.size()));
}

std::string_view Request::cookie(std::string_view name) const {
  for (std::string_view piece : split(headers.get("Cookie"), ';')) {
    piece = trim(piece);
    std::size_t equals = piece.find('=');
    if (equals != std::string_view::npos && piece.substr(0, equals) == name) return piece.substr(equals + 1);
  }
  return {};
}

Response Response::json(int status, std::string body) {
  Response response{status, {}, std::move(body)};
  response.headers.set("Content-Type", "application/json");
  return response;
}

Response Response::text(int status, std::string body) {
  Response response{status, {}, std::move(body)};
  response.headers.set("Content-Type", "text/plain; charset=utf-8");
  return response;
}

Response Response::error(const Error& error) {
  return json(http_status(error.code), fmt::format(R"({{"error":{{"code":{},"message":{}}}}})",
                                                   json_quote(error_code_name(error.code)), json_quote(error.message)));
}

int http_status(ErrorCode code) {
  switch (code) {
    case ErrorCode::kInvalidArgument:
    case ErrorCode::kProtocol: return 400;
    case ErrorCode::kUnauthenticated: return 401;
    case ErrorCode::kPermissionDenied: return 403;
    case ErrorCode::kNotFound: return 404;
    case ErrorCode::kAlreadyExists: return 409;
    case ErrorCode::kFailedPrecondition: return 412;
    case ErrorCode::kResourceExhausted: return 429;
    case ErrorCode::kUnavailable: return 503;
    case ErrorCode::kTimeout: return 504;
    case ErrorCode::kIo:
    case ErrorCode::kCorrupt:
    case ErrorCode::kInternal: return 500;
  }
  return 500;
}

void add_security_headers(Response& response) {
  auto add_default = [&](const char* name, const char* value) {
    if (!response.headers.has(name)) response.headers.add(name, value);
  };
  add_default("Strict-Transport-Security", "max-age=31536000");
  add_default("X-Content-Type-Options", "nosniff");
  add_default("X-Frame-Options", "DENY");
  add_default("Referrer-Policy", "no-referrer");
  add_default("Cross-Origin-Opener-Policy", "same-origin");
  add_default("Cross-Origin-Resource-Policy", "same-origin");
  add_default("Content-Security-Policy",
              "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
              "base-uri 'none'; form-action 'self'; frame-ancestors 'none'");
  add_default("Cache-Control", "no-store");
}

}  // namespace mezite::net::http
