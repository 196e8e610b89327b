#include "aws/endpoint.hh"

#include "base/text.hh"
#include "net/address.hh"

namespace mezite::aws {

Result<Endpoint> parse_endpoint(std::string_view url) {
  Endpoint out;
  std::string_view rest = url;
  if (rest.starts_with("https://")) {
    rest.remove_prefix(8);
  } else if (rest.starts_with("http://")) {
    rest.remove_prefix(7);
    out.scheme = net::http::Scheme::kHttp;
  } else {
    return fail(ErrorCode::kInvalidArgument, "'{}' is not a URL: begin it with https://", printable(url));
  }
  if (rest.ends_with('/')) rest.remove_suffix(1);
  if (rest.empty() || rest.find_first_of("/?#@") != std::string_view::npos) {
    return fail(ErrorCode::kInvalidArgument, "'{}' is not a service's address: give scheme, host and port only",
                printable(url));
  }
  const std::uint16_t own_port = out.scheme == net::http::Scheme::kHttps ? 443 : 80;
  MEZ_TRY(auto address, net::parse_host_port(rest, own_port));
  if (address.host.empty()) return fail(ErrorCode::kInvalidArgument, "'{}' has no host", printable(url));
  out.host = address.host;
  out.port = address.port;
  out.host_header = address.text();
  if (out.port == own_port) out.host_header.resize(out.host_header.rfind(':'));
  return out;
}

}  // namespace mezite::aws
