#include "client/document.hh"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/text.hh"

namespace mezite::client {
namespace {

using Json = nlohmann::ordered_json;

bool is_plain(std::string_view text) {
  constexpr std::string_view kWords[] = {"true", "false", "null", "yes", "no", "on", "off", "y", "n"};
  if (text.empty() || text.size() > 200 || text.front() == '-' || text.front() == '.' || text.back() == ' ')
    return false;
  std::string lower;
  for (const char c : text) lower += c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  if (std::ranges::find(kWords, lower) != std::end(kWords)) return false;
  if (text.front() == ' ' || (text.front() >= '0' && text.front() <= '9')) return false;
  return std::ranges::all_of(text, [](unsigned char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-' ||
           c == '.' || c == '/' || c == ' ' || c == '+' || c == '=' || c == '(' || c == ')';
  });
}

std::string scalar(const Json& value) {
  if (value.is_string()) {
    const auto& text = value.get_ref<const std::string&>();
    return is_plain(text) ? text
                          : Json(text).dump(-1, ' ', !is_valid_utf8(text) || printable(text) != text,
                                            Json::error_handler_t::replace);
  }
  return value.dump();
}

bool is_leaf(const Json& value) { return !value.is_structured() || value.empty(); }

void emit(const Json& value, std::size_t indent, std::string& out) {
  const std::string blanks(indent, ' ');
  if (value.is_object()) {
    bool first = true;
    for (const auto& [key, child] : value.items()) {
      if (!first) out += blanks;
      first = false;
      out += scalar(Json(key)) + ":";
      if (is_leaf(child)) {
        out += " " + scalar(child) + "\n";
      } else {
        out += "\n" + blanks + "  ";
        emit(child, indent + 2, out);
      }
    }
    return;
  }
  bool first = true;
  for (const Json& child : value) {
    if (!first) out += blanks;
    first = false;
    out += "- ";
    if (is_leaf(child)) {
      out += scalar(child) + "\n";
    } else {
      emit(child, indent + 2, out);
    }
  }
}

}  // namespace

std::string json_to_yaml(const Json& value) {
  if (is_leaf(value)) return scalar(value) + "\n";
  std::string out;
  emit(value, 0, out);
  return out;
}

}  // namespace mezite::client
