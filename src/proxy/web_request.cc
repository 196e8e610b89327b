#include "proxy/web_request.hh"

#include <sys/utsname.h>

#include <nlohmann/json.hpp>

#include "base/secret.hh"
#include "base/text.hh"

namespace mezite::proxy {
namespace {

using net::http::Request;
using net::http::Response;

bool refuse(Response& response, int status, std::string_view code, std::string_view message) {
  response = Response::json(
      status, fmt::format(R"({{"error":{{"code":{},"message":{}}}}})", json_quote(code), json_quote(message)));
  return false;
}

bool is_own_name(const auth::Services& services, std::string_view host_header) {
  auto parsed = net::parse_host_port(host_header, 443);
  if (!parsed) return false;
  const std::string& host = parsed->host;
  utsname machine{};
  return net::is_ip_address(host) || host == "localhost" || host == services.config.proxy.public_addr.host ||
         host == services.cluster_name() || (::uname(&machine) == 0 && host == machine.nodename);
}

}  // namespace

bool guard_request(const auth::Services& services, const Request& request, Response& refusal) {
  std::string_view origin = request.headers.get("Origin");
  std::string_view host = request.headers.get("Host");
  bool from_browser = !origin.empty() || request.headers.has("Cookie");
  if (from_browser && !is_own_name(services, host)) {
    return refuse(refusal, 421, "invalid_argument",
                  fmt::format("this hub is called {} (proxy.public_addr)", services.config.proxy.public_addr.text()));
  }
  if (request.method == "GET" || request.method == "HEAD") return true;
  std::string_view site = request.headers.get("Sec-Fetch-Site");
  bool same_origin =
      origin.empty() || origin == "https://" + std::string(host) ||
      origin == "https://" + services.config.proxy.public_addr.text() ||
      (services.config.proxy.public_addr.port == 443 && origin == "https://" + services.config.proxy.public_addr.host);
  if (!same_origin || (!site.empty() && site != "same-origin" && site != "none")) {
    return refuse(refusal, 403, "permission_denied", "requests of other sites are not served");
  }
  if (!request.body.empty() && !request.headers.get("Content-Type").starts_with("application/json")) {
    return refuse(refusal, 415, "invalid_argument", "the body is JSON: Content-Type: application/json");
  }
  return true;
}

void answer_on_worker(Context& context, Request request, net::http::Responder responder,
                      std::function<Result<Response>(const Request&)> work) {
  auto answer = std::make_shared<net::http::Responder>(std::move(responder));
  bool queued =
      context.services.workers.submit([answer, request = std::move(request), work = std::move(work)]() mutable {
        Result<Response> response = work(request);
        wipe(request.body);  // it may hold a password
        (*answer)(response ? std::move(*response) : Response::error(response.error()));
      });
  if (!queued) {
    Response busy = Response::error({ErrorCode::kUnavailable, "the hub is too busy; try again in a moment"});
    busy.headers.set("Retry-After", "2");
    (*answer)(std::move(busy));
  }
}

Result<nlohmann::json> parse_body(const Request& request) {
  auto body = nlohmann::json::parse(request.body, nullptr, false);
  if (!body.is_object()) return fail(ErrorCode::kInvalidArgument, "the body is a JSON object");
  return body;
}

Result<std::string> text_field(const nlohmann::json& body, const char* name, std::size_t limit_bytes,
                               Presence presence) {
  auto found = body.find(name);
  if (found == body.end() || found->is_null()) {
    if (presence == Presence::kOptional) return std::string();
    return fail(ErrorCode::kInvalidArgument, "'{}' is missing", name);
  }
  if (!found->is_string()) return fail(ErrorCode::kInvalidArgument, "'{}' is a text", name);
  const auto& text = found->get_ref<const std::string&>();
  if (text.size() > limit_bytes)
    return fail(ErrorCode::kInvalidArgument, "'{}' is at most {} bytes", name, limit_bytes);
  if (text.find('\0') != std::string::npos) return fail(ErrorCode::kInvalidArgument, "'{}' holds a NUL", name);
  return text;
}

std::string_view session_token(const Request& request) {
  std::string_view bearer = request.bearer_token();
  return bearer.empty() ? request.cookie(kSessionCookie) : bearer;
}

Result<auth::Caller> caller_of(Context& context, const Request& request) {
  std::string_view token = session_token(request);
  if (token.empty()) return fail(ErrorCode::kUnauthenticated, "not logged in: msh login, or sign in on the page");
  return auth::caller_of_session(context.services, token, request.peer.ip);
}

}  // namespace mezite::proxy
