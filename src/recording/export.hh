// A recording in other formats.
#pragma once

#include <functional>
#include <string_view>

#include "recording/reader.hh"

namespace mezite::recording {

using Sink = std::function<Status(std::string_view text)>;

// asciicast v2, one JSON value per line. Input is left out unless asked for (it may hold passwords).
enum class InputEvents { kLeaveOut, kInclude };
Status export_asciicast(Reader& reader, InputEvents input, const Sink& sink);

// What the terminal showed, as plain lines: escape sequences removed, control characters made printable.
Status export_text(Reader& reader, const Sink& sink);

}  // namespace mezite::recording
