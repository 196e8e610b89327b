// What is served on 3080: health, the web API of msh and the page, the page itself.
#pragma once

#include "net/http/router.hh"
#include "proxy/context.hh"

namespace mezite::proxy {

// The context outlives the router.
net::http::Router make_web_router(Context& context);

}  // namespace mezite::proxy
