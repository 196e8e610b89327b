#include "client/web_api.hh"

#include <nlohmann/json.hpp>
#include <optional>

#include "base/secret.hh"
#include "base/text.hh"

namespace mezite::client {
namespace {

using Json = nlohmann::json;

std::unexpected<Error> malformed(std::string_view what) {
  return fail(ErrorCode::kProtocol, "the hub's answer to {} could not be read; is it a Mezite hub of this version?",
              what);
}

// Typed access that never throws: a missing field or another type is nothing.
std::optional<std::string> text_field(const Json& json, const char* key) {
  const auto it = json.find(key);
  if (it == json.end() || !it->is_string()) return std::nullopt;
  return it->get<std::string>();
}
std::vector<std::string> list_field(const Json& json, const char* key) {
  std::vector<std::string> out;
  const auto it = json.find(key);
  if (it == json.end() || !it->is_array()) return out;
  for (const auto& item : *it) {
    if (item.is_string()) out.push_back(item.get<std::string>());
  }
  return out;
}
std::optional<Json> parse_object(std::string_view text) {
  Json json = Json::parse(text, nullptr, false);
  if (!json.is_object()) return std::nullopt;
  return json;
}
std::string dump(const Json& json) { return json.dump(-1, ' ', false, Json::error_handler_t::replace); }

ErrorCode code_of(int status) {
  switch (status) {
    case 400: return ErrorCode::kInvalidArgument;
    case 401: return ErrorCode::kUnauthenticated;
    case 403: return ErrorCode::kPermissionDenied;
    case 404: return ErrorCode::kNotFound;
    case 409: return ErrorCode::kAlreadyExists;
    case 412: return ErrorCode::kFailedPrecondition;
    case 429: return ErrorCode::kResourceExhausted;
    case 503: return ErrorCode::kUnavailable;
    case 504: return ErrorCode::kTimeout;
    default: return ErrorCode::kInternal;
  }
}

}  // namespace

Error parse_error(int status, std::string_view body) {
  if (const auto json = parse_object(body)) {
    if (const auto it = json->find("error"); it != json->end() && it->is_object()) {
      if (const auto message = text_field(*it, "message"); message && !message->empty()) {
        return {code_of(status), printable(std::string_view(*message).substr(0, 1000))};
      }
    }
  }
  return {code_of(status), fmt::format("the hub answered with HTTP status {}", status)};
}

Result<LoginAnswer> parse_login_answer(std::string_view text) {
  const auto json = parse_object(text);
  if (!json) return malformed("the login");
  const auto certificate = text_field(*json, "certificate");
  const auto token = text_field(*json, "session_token");
  const auto expires = parse_rfc3339(text_field(*json, "expires_at").value_or(""));
  LoginAnswer answer;
  answer.host_cas = list_field(*json, "host_ca_keys");
  if (!certificate || !token || !expires || answer.host_cas.empty()) return malformed("the login");
  answer.user = text_field(*json, "user").value_or("");
  answer.certificate = *certificate;
  answer.session_token = *token;
  answer.expires_at = *expires;
  answer.cluster = text_field(*json, "cluster_name").value_or("");
  answer.ssh_addr = text_field(*json, "ssh_addr").value_or("");
  answer.roles = list_field(*json, "roles");
  answer.logins = list_field(*json, "logins");
  return answer;
}

Result<std::vector<Node>> parse_nodes(std::string_view text) {
  const auto json = parse_object(text);
  const auto it = json ? json->find("nodes") : Json::const_iterator();
  if (!json || it == json->end() || !it->is_array()) return malformed("the list of nodes");
  std::vector<Node> nodes;
  for (const auto& item : *it) {
    if (!item.is_object()) return malformed("the list of nodes");
    Node node;
    node.name = text_field(item, "name").value_or("");
    node.hostname = text_field(item, "hostname").value_or("");
    node.logins = list_field(item, "logins");
    if (const auto labels = item.find("labels"); labels != item.end() && labels->is_object()) {
      for (const auto& [key, value] : labels->items()) {
        if (value.is_string()) node.labels[key] = value.get<std::string>();
      }
    }
    if (const auto connected = item.find("connected"); connected != item.end() && connected->is_boolean()) {
      node.connected = connected->get<bool>();
    }
    if (node.name.empty()) return malformed("the list of nodes");
    nodes.push_back(std::move(node));
  }
  return nodes;
}

Result<DialTicket> parse_dial_ticket(std::string_view text) {
  const auto json = parse_object(text);
  const auto ticket = json ? text_field(*json, "ticket") : std::nullopt;
  const auto address = json ? text_field(*json, "ssh_addr") : std::nullopt;
  // It is sent in a line of its own: nothing but base64url may be in it.
  if (!ticket || !address || ticket->size() > 256 || !from_base64url(*ticket))
    return malformed("the request to connect");
  return DialTicket{*ticket, *address};
}

Result<std::string> WebApi::call(std::string method, std::string target, std::string body) {
  net::http::ClientRequest request;
  request.method = std::move(method);
  request.host = proxy_.host;
  request.port = proxy_.port;
  request.target = std::move(target);
  request.trust = trust_;
  if (!token_.empty()) request.headers.add("Authorization", "Bearer " + token_);
  if (!body.empty()) request.headers.add("Content-Type", "application/json");
  request.body = std::move(body);
  auto response = net::http::request(request);
  wipe(request.body);  // may hold a password
  if (!response) return std::unexpected(std::move(response).error());
  if (response->status < 200 || response->status > 299)
    return std::unexpected(parse_error(response->status, response->body));
  return std::move(response->body);
}

Result<Ping> WebApi::ping() {
  MEZ_TRY(const std::string body, call("GET", "/v1/webapi/ping"));
  const auto json = parse_object(body);
  const auto cluster = json ? text_field(*json, "cluster_name") : std::nullopt;
  if (!cluster) return malformed("the first request");
  return Ping{*cluster, text_field(*json, "version").value_or(""), text_field(*json, "proxy_public_addr").value_or("")};
}

void WebApi::read_trust(std::string_view body) {
  const auto json = parse_object(body);
  if (!json || !json->contains("ca_pins")) return;
  hub_trust_ = {.host_cas = list_field(*json, "host_ca_keys"),
                .user_cas = list_field(*json, "user_ca_keys"),
                .ca_pins = list_field(*json, "ca_pins")};
}

Result<LoginAnswer> WebApi::login(const LoginRequest& request) {
  const Json json = {{"user", request.user},
                     {"password", request.password},
                     {"ssh_public_key", request.ssh_public_key},
                     {"ttl_seconds", request.ttl.count()}};
  MEZ_TRY(std::string body, call("POST", "/v1/webapi/login", dump(json)));
  auto answer = parse_login_answer(body);
  read_trust(body);
  wipe(body);
  return answer;
}

Result<std::vector<Node>> WebApi::nodes() {
  MEZ_TRY(const std::string body, call("GET", "/v1/webapi/nodes"));
  read_trust(body);
  return parse_nodes(body);
}

Result<DialTicket> WebApi::dial(std::string_view node, std::string_view login) {
  MEZ_TRY(const std::string body, call("POST", "/v1/webapi/dial", dump(Json{{"node", node}, {"login", login}})));
  read_trust(body);
  return parse_dial_ticket(body);
}

Result<std::string> WebApi::renew_certificate(std::string_view ssh_public_key, std::chrono::seconds ttl) {
  const Json json = {{"ssh_public_key", ssh_public_key}, {"ttl_seconds", ttl.count()}};
  MEZ_TRY(const std::string body, call("POST", "/v1/webapi/certificate", dump(json)));
  const auto answer = parse_object(body);
  const auto certificate = answer ? text_field(*answer, "certificate") : std::nullopt;
  if (!certificate) return malformed("the request for a certificate");
  return *certificate;
}

namespace {

// RFC 3986 §2.3: everything else is written as %XX.
std::string encoded(std::string_view text) {
  std::string out;
  for (const char c : text) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
                       c == '.' || c == '_' || c == '~';
    if (plain) {
      out += c;
    } else {
      out += fmt::format("%{:02X}", static_cast<unsigned char>(c));
    }
  }
  return out;
}

}  // namespace

Result<std::string> WebApi::recordings(const RecordingQuery& query) {
  return call("GET",
              fmt::format("/v1/webapi/recordings?user={}&node={}&since_ms={}&until_ms={}&limit={}", encoded(query.user),
                          encoded(query.node), query.since_ms, query.until_ms, query.limit));
}

Result<std::string> WebApi::recording(std::string_view session_id) {
  return call("GET", "/v1/webapi/recordings/" + encoded(session_id));
}

Result<std::string> WebApi::recording_part(std::string_view session_id, std::uint64_t offset, std::size_t max_bytes) {
  return call("GET", fmt::format("/v1/webapi/recordings/{}/data?offset={}&max_bytes={}", encoded(session_id), offset,
                                 max_bytes));
}

Status WebApi::logout() {
  MEZ_CHECK(call("POST", "/v1/webapi/logout", "{}"));
  return {};
}

}  // namespace mezite::client
