// How far the audit log's sinks are, for monitoring.
#pragma once

#include <string>

#include "auth/services.hh"

namespace mezite::auth {

// Prometheus' text format. Reads the database: on a worker.
std::string audit_metrics(const Services& services);

}  // namespace mezite::auth
