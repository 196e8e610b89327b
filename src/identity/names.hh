// What users and nodes may be called.
#pragma once

#include <string_view>

#include "base/result.hh"

namespace mezite::identity {

// 1–64 of a–z A–Z 0–9 . _ - @ +, starting with a letter, a digit or '_'.
Status check_user_name(std::string_view name);

// 1–63 of a–z A–Z 0–9 - _ in labels joined by dots, 64 bytes at most in all, no label empty or starting or ending with
// '-'; not only digits and dots (it would read as an
// address), not "localhost", not of the form of a UUID (it would read as another node's id).
Status check_node_name(std::string_view name);

}  // namespace mezite::identity
