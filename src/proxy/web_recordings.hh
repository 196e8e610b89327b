// Recordings on the web API, for msh.
#pragma once

#include "net/http/router.hh"
#include "proxy/context.hh"

namespace mezite::proxy {

// GET /v1/webapi/recordings?user&node&since_ms&until_ms&limit, /v1/webapi/recordings/{id},
// …/{id}/data?offset&max_bytes. The context outlives the router.
void add_recording_routes(net::http::Router& router, Context& context);

}  // namespace mezite::proxy
