// The address of a service, from a URL without a path.
#pragma once

#include <string>
#include <string_view>

#include "net/http/http_client.hh"

namespace mezite::aws {

struct Endpoint {
  net::http::Scheme scheme = net::http::Scheme::kHttps;
  std::string host;
  std::uint16_t port = 443;
  std::string host_header;  // host, with the port when it is not the scheme's own
};

// "https://kms.eu-central-1.amazonaws.com", "http://127.0.0.1:8080", "http://[::1]:8080/". kInvalidArgument otherwise.
Result<Endpoint> parse_endpoint(std::string_view url);

}  // namespace mezite::aws
