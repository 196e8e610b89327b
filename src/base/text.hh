// Small text operations, and making hostile text safe to show.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace mezite {

std::string_view trim(std::string_view text);
// Splits at every separator; keeps empty pieces; "" gives one empty piece.
std::vector<std::string_view> split(std::string_view text, char separator);
std::string join(const std::vector<std::string>& pieces, std::string_view separator);

bool is_valid_utf8(std::string_view text);
// For a terminal, a log or an error text: control characters (C0, DEL, C1), bidirectional overrides and bytes that are
// not UTF-8 become "\xNN" or "\u{NNNN}", so that a node name cannot move a cursor or forge a line.
std::string printable(std::string_view text);

// A JSON string literal with its quotes; bytes that are not UTF-8 become U+FFFD.
std::string json_quote(std::string_view text);

}  // namespace mezite
