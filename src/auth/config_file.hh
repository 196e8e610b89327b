// A YAML file as a flat list of dotted keys with their lines.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "auth/config_keys.hh"

namespace mezite::auth {

struct FileEntry {
  std::string name;
  RawValue value;
  int line = 0;  // from 1
};

// Errors are "file:line: …". A key that is there twice, in either spelling (nested or dotted), is one.
Result<std::vector<FileEntry>> parse_config_file(std::string_view text, std::string_view file_name);

}  // namespace mezite::auth
