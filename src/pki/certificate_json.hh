// The JSON in our certificate extensions.
#pragma once

#include <string>
#include <vector>

#include "pki/authority.hh"

namespace mezite::pki {

std::string to_json(const std::vector<std::string>& values);  // ["a","b"]
std::string to_json(const Traits& traits);                    // {"logins":["root"]}

}  // namespace mezite::pki
