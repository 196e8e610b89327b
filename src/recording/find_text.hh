// Looking for a text in what a session showed.
#pragma once

#include <chrono>
#include <functional>
#include <string_view>

#include "recording/reader.hh"

namespace mezite::recording {

// Calls back with each line that holds the text (letters A to Z without regard to capitals) and when it was finished,
// until that says false. Lines are those of export_text().
Status find_text(Reader& reader, std::string_view text,
                 const std::function<bool(std::chrono::milliseconds at, std::string_view line)>& found);

}  // namespace mezite::recording
