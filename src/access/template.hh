// {{internal.logins}} and {{external.username}} in roles: one template may stand for many values.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "access/labels.hh"

namespace mezite::access {

// True when the text holds "{{".
bool is_template(std::string_view text);

// Well-formed: literal text, or prefix{{namespace.trait}}suffix with one expression, namespace internal or external,
// and trait of letters, digits, '_', '-', '.', '/', ':'.
Status check_template(std::string_view text);

// Text without a template gives itself; with one, a value for each value of the trait (none for an unknown or empty
// trait). Text that check_template refuses gives nothing.
std::vector<std::string> expand_template(std::string_view text, const Traits& traits);

// A login can be a principal and a user name: 1–64 bytes of UTF-8, not starting with '-', no white space, comma, glob,
// quote, slash, colon or shell operator, no control character. Expanded logins that are not are dropped.
bool is_valid_login(std::string_view login);

}  // namespace mezite::access
