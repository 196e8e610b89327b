// A recording at the hub as something to read.
#pragma once

#include <string>

#include "cmd/mezctl/context.hh"
#include "recording/reader.hh"

namespace mezite::mezctl {

// The context outlives the reader. identity_file: of who it is encrypted to; empty: none.
Result<recording::Reader> open_recording(Context& context, const std::string& id, const std::string& identity_file);

}  // namespace mezite::mezctl
