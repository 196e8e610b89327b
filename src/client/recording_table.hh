// Recordings as msh and mezctl list them.
#pragma once

#include <string>

#include "base/clock.hh"
#include "client/table.hh"

namespace mezite::v1 {
class ListRecordingsResponse;
class Recording;
}  // namespace mezite::v1

namespace mezite::client {

// Empty when there are none.
std::string recordings_table(const v1::ListRecordingsResponse& list, SystemTime now, Colour colour);
// "alice as root on web-01, 2026-…: command", for questions and notes.
std::string recording_text(const v1::Recording& recording, SystemTime now);

}  // namespace mezite::client
