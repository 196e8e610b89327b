// HTTP requests and responses as values.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.hh"
#include "net/address.hh"

namespace mezite::net::http {

// Names compare without case; order is kept.
class Headers {
 public:
  void add(std::string name, std::string value) { fields_.emplace_back(std::move(name), std::move(value)); }
  void set(std::string name, std::string value);
  // The first value, or "" when there is none.
  std::string_view get(std::string_view name) const;
  bool has(std::string_view name) const;
  std::size_t count(std::string_view name) const;
  const std::vector<std::pair<std::string, std::string>>& all() const { return fields_; }

 private:
  std::vector<std::pair<std::string, std::string>> fields_;
};

struct Request {
  std::string method;  // "GET", "POST", …
  std::string path;    // decoded, begins with '/', without "." and ".." segments (such targets are refused)
  std::vector<std::pair<std::string, std::string>> query;        // decoded
  std::vector<std::pair<std::string, std::string>> path_values;  // what {name} of the route matched
  Headers headers;
  std::string body;
  Address peer;  // of the connection

  std::string_view path_value(std::string_view name) const;
  std::string_view query_value(std::string_view name) const;
  // "Authorization: Bearer <token>", or "".
  std::string_view bearer_token() const;
  // The value of a cookie, or "".
  std::string_view cookie(std::string_view name) const;
};

struct Response {
  int status = 200;
  Headers headers;
  std::string body;

  static Response json(int status, std::string body);
  static Response text(int status, std::string body);
  // {"error":{"code":…,"message":…}}, the status from the code.
  static Response error(const Error& error);
};

// 400 for kInvalidArgument, 401, 403, 404, 409, 412, 429, 503, 504, else 500.
int http_status(ErrorCode code);

// The headers that every answer of the hub carries: HSTS, nosniff, frame-ancestors none, no-referrer, a CSP without
// inline script, no-store unless the answer says otherwise.
void add_security_headers(Response& response);

}  // namespace mezite::net::http
