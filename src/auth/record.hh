// Writing audit events about what a caller did.
#pragma once

#include "audit/event.hh"
#include "auth/caller.hh"
#include "auth/services.hh"

namespace mezite::auth {

// Kind, time and id, with who it was filled in.
audit::Event event_by(const Services& services, const Caller& caller, audit::EventKind kind);

// Durable when it returns. A failure is logged, too: whoever asked gets an error that says the hub could not write.
Status record(Services& services, const audit::Event& event);

// "admin.call" of the local socket, before the call runs.
Status note_admin_call(Services& services, const Caller& caller, std::string_view method);

}  // namespace mezite::auth
