#include "proxy/web_api.hh"

#include <nlohmann/json.hpp>

#include "access/decide.hh"
#include "auth/use/audit_metrics.hh"
#include "auth/use/explain.hh"
#include "auth/use/login.hh"
#include "auth/use/recording_metrics.hh"
#include "auth/use/user_certificate.hh"
#include "auth/version.hh"
#include "base/secret.hh"
#include "base/text.hh"
#include "proxy/denial.hh"
#include "proxy/host_identity.hh"
#include "proxy/reach.hh"
#include "proxy/web_assets.hh"
#include "proxy/web_recordings.hh"
#include "proxy/web_request.hh"

namespace mezite::proxy {
namespace {

using Json = nlohmann::json;
using net::http::Request;
using net::http::Responder;
using net::http::Response;

constexpr std::size_t kMaxName = 256;
constexpr std::size_t kMaxPublicKey = 8192;
constexpr std::size_t kMaxToken = 256;
constexpr std::int64_t kMaxTtlSeconds = 365 * 24 * 3600;  // what is given is shorter anyway

Response ok(const Json& body) { return Response::json(200, body.dump(-1, ' ', false, Json::error_handler_t::replace)); }

// A caller that nobody knows yet: bounded per source. Answers 429 and gives nothing when it is over.
std::shared_ptr<net::Admission::Pass> admit_anonymous(Context& context, const Request& request, Responder& responder) {
  auto pass = context.services.anonymous_calls.admit(request.peer);
  if (pass) return std::make_shared<net::Admission::Pass>(std::move(*pass));
  Response busy =
      Response::error({ErrorCode::kResourceExhausted, "too many attempts; wait a few seconds, then try again"});
  busy.headers.set("Retry-After", "5");
  responder(std::move(busy));
  return nullptr;
}

Result<identity::NewSession> sign_in(Context& context, const Json& body, const Request& request, std::string_view via) {
  MEZ_TRY(std::string user, text_field(body, "user", kMaxName));
  MEZ_TRY(std::string password, text_field(body, "password", identity::kMaxPasswordBytes));
  auto session = auth::login(context.services, {user, password, request.peer.ip, via});
  wipe(password);
  return session;
}

Json roles_and_logins(const auth::Caller& caller) {
  return {{"roles", caller.role_names}, {"logins", access::certificate_logins(caller.roles, caller.traits)}};
}

// Whom to trust from now on, in the answers to whoever is signed in: a CA may be rotated between two calls.
void add_trust(const auth::Services& services, Json& answer) {
  Json host_cas = Json::array(), user_cas = Json::array(), pins = Json::array();
  pki::TrustBundle trust = services.authority->trust_bundle();
  for (const ssh::PublicKey& ca : trust.host_cas) host_cas.push_back(ca.to_text());
  for (const ssh::PublicKey& ca : trust.user_cas) user_cas.push_back(ca.to_text());
  for (const crypto::X509Certificate& ca : trust.host_x509) pins.push_back("sha256:" + ca.spki_sha256_hex());
  answer["host_ca_keys"] = std::move(host_cas);
  answer["user_ca_keys"] = std::move(user_cas);
  answer["ca_pins"] = std::move(pins);
}

Result<std::optional<std::chrono::milliseconds>> asked_ttl(const Json& body) {
  auto asked = body.find("ttl_seconds");
  if (asked == body.end() || asked->is_null()) return std::optional<std::chrono::milliseconds>();
  if (!asked->is_number_integer() || asked->get<std::int64_t>() < 1 || asked->get<std::int64_t>() > kMaxTtlSeconds) {
    return fail(ErrorCode::kInvalidArgument, "'ttl_seconds' is a number from 1 on");
  }
  return std::optional<std::chrono::milliseconds>(std::chrono::seconds(asked->get<std::int64_t>()));
}

// ---- POST /v1/webapi/login: a session and a certificate for the client's key

Result<Response> login(Context& context, const Request& request) {
  auth::Services& services = context.services;
  MEZ_TRY(Json body, parse_body(request));
  MEZ_TRY(std::string public_key, text_field(body, "ssh_public_key", kMaxPublicKey));
  MEZ_TRY(std::optional<std::chrono::milliseconds> ttl, asked_ttl(body));
  // Before the password is looked at: whether the key is good tells nothing about the user.
  if (auto key = ssh::PublicKey::from_text(public_key); !key) {
    return fail(ErrorCode::kInvalidArgument, "'ssh_public_key' is not a public key that can be certified: {}",
                key.error().message);
  }
  MEZ_TRY(identity::NewSession session, sign_in(context, body, request, "msh"));
  MEZ_TRY(auth::Caller caller, auth::caller_of_session(services, session.token, request.peer.ip));
  auto issued = auth::issue_user_certificate(services, caller, {public_key, ttl});
  if (!issued) {
    [[maybe_unused]] Status revoked = services.identity->sessions.revoke(session.token);
    return std::unexpected(issued.error());
  }
  Json answer = {{"user", caller.name},
                 {"certificate", issued->certificate},
                 {"cluster_name", services.cluster_name()},
                 {"session_token", session.token},
                 {"session_expires_at", to_rfc3339(session.expires_at)},
                 {"expires_at", to_rfc3339(issued->expires_at)},
                 {"ssh_addr", public_ssh_address(services, context.ssh_port)},
                 {"roles", caller.role_names},
                 {"logins", issued->logins},
                 {"source_address", issued->source_address}};
  add_trust(services, answer);
  return ok(answer);
}

// ---- POST /v1/webapi/certificate: another one for a session that has one, after the User CA's key has changed

Result<Response> renew_certificate(Context& context, const Request& request) {
  MEZ_TRY(auth::Caller caller, caller_of(context, request));
  MEZ_TRY(Json body, parse_body(request));
  MEZ_TRY(std::string public_key, text_field(body, "ssh_public_key", kMaxPublicKey));
  MEZ_TRY(std::optional<std::chrono::milliseconds> ttl, asked_ttl(body));
  MEZ_TRY(auto issued, auth::issue_user_certificate(context.services, caller, {public_key, ttl}));
  return ok({{"certificate", issued.certificate}, {"expires_at", to_rfc3339(issued.expires_at)}});
}

// ---- the page's session: a cookie that scripts can't read

std::string session_cookie(std::string_view token, std::string_view rest) {
  return fmt::format("{}={}; Path=/; Secure; HttpOnly; SameSite=Strict{}", kSessionCookie, token, rest);
}

Result<Response> open_web_session(Context& context, const Request& request) {
  MEZ_TRY(Json body, parse_body(request));
  MEZ_TRY(identity::NewSession session, sign_in(context, body, request, "web"));
  MEZ_TRY(auth::Caller caller, auth::caller_of_session(context.services, session.token, request.peer.ip));
  Json answer = roles_and_logins(caller);
  answer["user"] = caller.name;
  Response response = ok(answer);
  response.headers.add("Set-Cookie", session_cookie(session.token, {}));
  return response;
}

Result<Response> show_session(Context& context, const Request& request) {
  MEZ_TRY(auth::Caller caller, caller_of(context, request));
  Json answer = roles_and_logins(caller);
  answer["user"] = caller.name;
  answer["cluster_name"] = context.services.cluster_name();
  return ok(answer);
}

Result<Response> logout(Context& context, const Request& request) {
  if (auto caller = caller_of(context, request)) {
    MEZ_CHECK(auth::logout(context.services, *caller, session_token(request)));
  }
  Response response = ok(Json::object());
  if (!request.cookie(kSessionCookie).empty()) {
    response.headers.add("Set-Cookie", session_cookie("", "; Max-Age=0"));
  }
  return response;
}

Result<Response> accept_invite(Context& context, const Request& request) {
  MEZ_TRY(Json body, parse_body(request));
  MEZ_TRY(std::string token, text_field(body, "token", kMaxToken));
  MEZ_TRY(std::string password, text_field(body, "password", identity::kMaxPasswordBytes));
  auto user = auth::redeem_invite(context.services, token, password, request.peer.ip);
  wipe(password);
  if (!user) return std::unexpected(user.error());
  return ok({{"user", *user}});
}

// ---- nodes

Result<Response> list_nodes(Context& context, const Request& request) {
  MEZ_TRY(auth::Caller caller, caller_of(context, request));
  MEZ_TRY(auto visible, auth::visible_nodes(context.services, caller));
  Json nodes = Json::array();
  for (const auth::VisibleNode& one : visible) {
    nodes.push_back(
        {{"name", one.node.name},
         {"hostname", one.node.hostname},
         {"labels", Json(one.node.labels)},
         {"logins", one.logins},
         {"connected", one.connected},
         {"version", one.node.version},
         {"last_heartbeat", one.node.last_heartbeat ? Json(to_rfc3339(*one.node.last_heartbeat)) : Json()}});
  }
  Json answer = {{"nodes", std::move(nodes)}};
  add_trust(context.services, answer);
  return ok(answer);
}

Response refused(Context& context, const Request& request, const Denial& denial, ErrorCode code) {
  return Response::error({code, deny(context, denial, request.peer.ip, "web")});
}

Result<Response> make_ticket(Context& context, const Request& request) {
  auth::Services& services = context.services;
  MEZ_TRY(auth::Caller caller, caller_of(context, request));
  MEZ_TRY(Json body, parse_body(request));
  MEZ_TRY(std::string name, text_field(body, "node", kMaxName));
  MEZ_TRY(std::string login_name, text_field(body, "login", kMaxName));
  Visitor visitor{caller.name, caller.role_names, caller.traits};
  MEZ_TRY(Reach reach, reach_node(services, visitor, name, request.peer.text()));
  if (auto* denial = std::get_if<Denial>(&reach)) {
    bool hidden = denial->kind == audit::EventKind::kAccessDeniedUnknownNode ||
                  denial->kind == audit::EventKind::kAccessDeniedLabels;
    return refused(context, request, *denial, hidden ? ErrorCode::kNotFound : ErrorCode::kPermissionDenied);
  }
  const auto& target = std::get<DialTarget>(reach);
  Denial denial{
      .user = caller.name, .roles = caller.role_names, .node_name = target.node_name, .node_id = target.node_id};
  MEZ_TRY(identity::Node node, services.identity->nodes.get_by_id(target.node_id));
  auto decision = access::decide(caller.roles, caller.name, caller.traits, {node.name, node.labels}, login_name);
  if (!decision.allowed) {
    denial.kind = audit::EventKind::kAccessDeniedLogin;
    denial.reason = std::string(access::to_text(decision.reason));
    denial.explanation = fmt::format("login '{}': {}", printable(login_name), decision.summary);
    return refused(context, request, denial, ErrorCode::kPermissionDenied);
  }
  MEZ_TRY(auto lock, find_lock(services, visitor, node.id, node.name, login_name));
  if (lock) {
    denial.kind = audit::EventKind::kAccessDeniedLocked;
    denial.reason = "locked";
    denial.explanation = *lock;
    return refused(context, request, denial, ErrorCode::kPermissionDenied);
  }
  if (!context.tunnels.connected(node.id)) {
    denial.kind = audit::EventKind::kAccessDeniedUnreachable;
    denial.reason = "unreachable";
    denial.explanation = denial.user_text = fmt::format("node '{}' is not connected; last seen {}", node.name,
                                                        target.last_seen.empty() ? "never" : target.last_seen);
    return refused(context, request, denial, ErrorCode::kUnavailable);
  }
  MEZ_TRY(std::string ticket, context.tickets.put({caller.name, node.id, request.peer.ip}));
  Json answer = {{"ticket", ticket}, {"ssh_addr", public_ssh_address(services, context.ssh_port)}, {"node", node.name}};
  add_trust(services, answer);
  return ok(answer);
}

// ---- the page

net::http::Handler page(const char* file, const char* type) {
  return [file, type](Request, Responder responder) {
    Response response{200, {}, std::string(find_web_asset(file))};
    response.headers.set("Content-Type", type);
    responder(std::move(response));
  };
}

}  // namespace

net::http::Router make_web_router(Context& context) {
  net::http::Router router;
  router.set_guard([&context](const Request& request, Response& refusal) {
    return guard_request(context.services, request, refusal);
  });
  using Work = Result<Response> (*)(Context&, const Request&);
  auto known = [&](const char* method, const char* path, Work work) {
    router.add(method, path, [&context, work](Request request, Responder responder) {
      answer_on_worker(context, std::move(request), std::move(responder),
                       [&context, work](const Request& it) { return work(context, it); });
    });
  };
  auto anonymous = [&](const char* path, Work work) {
    router.add("POST", path, [&context, work](Request request, Responder responder) {
      auto pass = admit_anonymous(context, request, responder);
      if (!pass) return;
      answer_on_worker(context, std::move(request), std::move(responder),
                       [&context, work, pass](const Request& it) { return work(context, it); });
    });
  };

  router.add("GET", "/healthz", [](Request, Responder responder) { responder(Response::text(200, "ok\n")); });
  router.add("GET", "/readyz", [&context](Request, Responder responder) {
    bool draining = context.draining;
    responder(Response::text(draining ? 503 : 200, draining ? "draining\n" : "ok\n"));
  });
  // Of this machine only: how busy the hub is concerns nobody else.
  router.add("GET", "/metrics", [&context](Request request, Responder responder) {
    if (request.peer.ip != "127.0.0.1" && request.peer.ip != "::1") {
      responder(Response::error({ErrorCode::kPermissionDenied, "metrics are told on the hub's own machine only"}));
      return;
    }
    answer_on_worker(context, std::move(request), std::move(responder), [&context](const Request&) -> Result<Response> {
      return Response::text(200, context.services.key_store->metrics() + auth::audit_metrics(context.services) +
                                     auth::recording_metrics(context.services));
    });
  });
  router.add("GET", "/v1/webapi/ping", [&context](Request, Responder responder) {
    const auto& services = context.services;
    responder(ok({{"cluster_name", services.cluster_name()},
                  {"version", auth::version()},
                  {"ssh_port", context.ssh_port},
                  {"proxy_public_addr", services.config.proxy.public_addr.text()}}));
  });
  // Public keys, for whoever is to trust this cluster's workloads: no secret, and no session needed.
  router.add("GET", "/v1/webapi/spiffe/bundle.json", [&context](Request, Responder responder) {
    auto document = spiffe::to_json(context.services.authority->spiffe_bundle());
    if (!document) return responder(Response::error(document.error()));
    Response response = Response::json(200, std::move(*document));
    response.headers.set("Cache-Control", fmt::format("max-age={}", spiffe::kRefreshHint.count()));
    responder(std::move(response));
  });
  anonymous("/v1/webapi/login", login);
  anonymous("/v1/webapi/session", open_web_session);
  anonymous("/v1/webapi/invite", accept_invite);
  known("GET", "/v1/webapi/session", show_session);
  known("POST", "/v1/webapi/certificate", renew_certificate);
  known("POST", "/v1/webapi/logout", logout);
  known("GET", "/v1/webapi/nodes", list_nodes);
  known("POST", "/v1/webapi/dial", make_ticket);
  add_recording_routes(router, context);

  router.add("GET", "/", page("index.html", "text/html; charset=utf-8"));
  router.add("GET", "/invite/{token}", page("index.html", "text/html; charset=utf-8"));
  router.add("GET", "/static/app.js", page("app.js", "text/javascript; charset=utf-8"));
  router.add("GET", "/static/style.css", page("style.css", "text/css; charset=utf-8"));
  router.add("GET", "/static/icon.svg", page("icon.svg", "image/svg+xml"));
  return router;
}

}  // namespace mezite::proxy
