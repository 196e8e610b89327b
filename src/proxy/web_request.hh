// Reading the requests of the web API, and running their handlers on a worker.
#pragma once

#include <functional>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

#include "auth/caller.hh"
#include "net/http/router.hh"
#include "proxy/context.hh"

namespace mezite::proxy {

inline constexpr std::string_view kSessionCookie = "__Host-mezite";

// Which requests are turned away before any handler sees them: those that change something and come from another site
// (Origin, Sec-Fetch-Site, a form's content type), and those of a browser under a name that is not this hub's (DNS
// rebinding).
bool guard_request(const auth::Services& services, const net::http::Request& request, net::http::Response& refusal);

// Runs `work` on a worker and answers with what it gives; 503 when the hub is too busy.
void answer_on_worker(Context& context, net::http::Request request, net::http::Responder responder,
                      std::function<Result<net::http::Response>(const net::http::Request&)> work);

// A text of the body's JSON object. kInvalidArgument: missing (and required), no text, or over limit_bytes.
enum class Presence { kRequired, kOptional };
Result<std::string> text_field(const nlohmann::json& body, const char* name, std::size_t limit_bytes,
                               Presence presence = Presence::kRequired);
// The body as a JSON object, wiped from the request's copy by its owner.
Result<nlohmann::json> parse_body(const net::http::Request& request);

// The session's token, from the Authorization header or the page's cookie; "" when there is none.
std::string_view session_token(const net::http::Request& request);
// kUnauthenticated with what to do.
Result<auth::Caller> caller_of(Context& context, const net::http::Request& request);

}  // namespace mezite::proxy
