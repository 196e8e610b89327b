// Every state table of the protocol as text: what a reviewer reads, and what a test compares with state_tables.txt.
#pragma once

#include <string>

namespace mezite::ssh {

// Transport, authentication of both roles, channels; the same for the same program.
std::string state_tables_text();

}  // namespace mezite::ssh
