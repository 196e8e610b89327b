#include "identity/names.hh"

#include <algorithm>

#include "base/text.hh"

namespace mezite::identity {

namespace {

bool is_letter_or_digit(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9'); }

bool has_form_of_uuid(std::string_view name) {
  if (name.size() != 36) return false;
  for (std::size_t i = 0; i < name.size(); ++i) {
    bool dash = i == 8 || i == 13 || i == 18 || i == 23;
    if ((name[i] == '-') != dash) return false;
  }
  return true;
}

bool is_label(std::string_view label) {
  return !label.empty() && label.size() <= 63 && label.front() != '-' && label.back() != '-' &&
         std::ranges::all_of(label, [](char c) { return is_letter_or_digit(c) || c == '-' || c == '_'; });
}

}  // namespace

Status check_user_name(std::string_view name) {
  bool good = !name.empty() && name.size() <= 64 && (is_letter_or_digit(name.front()) || name.front() == '_') &&
              std::ranges::all_of(name, [](char c) {
                return is_letter_or_digit(c) || std::string_view("._-@+").find(c) != std::string_view::npos;
              });
  if (good) return {};
  return fail(ErrorCode::kInvalidArgument,
              "'{}' can't be a user name: take 1 to 64 of a-z A-Z 0-9 . _ - @ +, starting with a letter, a digit or _",
              printable(name.substr(0, 80)));
}

Status check_node_name(std::string_view name) {
  auto refuse = [&](std::string_view why) {
    return fail(ErrorCode::kInvalidArgument, "'{}' can't be a node name: {}", printable(name.substr(0, 80)), why);
  };
  if (name.empty() || name.size() > 64 || !std::ranges::all_of(split(name, '.'), is_label)) {
    return refuse("take 1 to 64 of a-z A-Z 0-9 - _ and dots, no part empty or with a dash at its start or end");
  }
  if (std::ranges::all_of(name, [](char c) { return c == '.' || (c >= '0' && c <= '9'); })) {
    return refuse("it reads as an address");
  }
  if (has_form_of_uuid(name)) return refuse("it reads as the id of a node");
  std::string_view first = name.substr(0, 9);
  bool localhost = name.size() == 9 && std::ranges::equal(first, std::string_view("localhost"),
                                                          [](char a, char b) { return (a | 0x20) == b; });
  if (localhost) return refuse("every machine has that one");
  return {};
}

}  // namespace mezite::identity
