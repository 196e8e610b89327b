// Lists and maps as JSON in a column. Inside src/identity/ only. Reading is lenient: what does not fit is left out,
// since only this folder writes them.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "access/labels.hh"

namespace mezite::identity {

std::string list_to_json(const std::vector<std::string>& list);
std::vector<std::string> list_from_json(std::string_view json);
std::string labels_to_json(const access::Labels& labels);
access::Labels labels_from_json(std::string_view json);
std::string traits_to_json(const access::Traits& traits);
access::Traits traits_from_json(std::string_view json);

}  // namespace mezite::identity
