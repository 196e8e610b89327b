// JSON for people: the same value as YAML.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

namespace mezite::client {

// Block style, keys in their order; a text that YAML could read as something else, or that is not printable, is quoted.
std::string json_to_yaml(const nlohmann::ordered_json& value);

}  // namespace mezite::client
