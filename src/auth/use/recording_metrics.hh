// Recordings that wait, for /metrics.
#pragma once

#include <string>

#include "auth/services.hh"

namespace mezite::auth {

// In Prometheus' text form: what waits at each connected node, and what waits at the hub for S3.
std::string recording_metrics(const Services& services);

}  // namespace mezite::auth
