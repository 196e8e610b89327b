#include "access/template.hh"

#include <algorithm>
#include <optional>

#include "base/text.hh"

namespace mezite::access {
namespace {

struct Expression {
  std::string_view prefix;
  std::string_view space;  // internal, external
  std::string_view trait;
  std::string_view suffix;
};

bool is_trait_character(unsigned char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
         std::string_view("_-./:").find(static_cast<char>(c)) != std::string_view::npos;
}

std::optional<Expression> parse(std::string_view text) {
  const std::size_t open = text.find("{{");
  const std::size_t close = text.find("}}");
  if (open == text.npos || close == text.npos || close < open) return std::nullopt;
  Expression expression{.prefix = text.substr(0, open), .suffix = text.substr(close + 2)};
  if (expression.suffix.find("{{") != text.npos || expression.suffix.find("}}") != text.npos) return std::nullopt;
  const std::string_view inner = trim(text.substr(open + 2, close - open - 2));
  const std::size_t dot = inner.find('.');
  if (dot == inner.npos) return std::nullopt;
  expression.space = inner.substr(0, dot);
  expression.trait = inner.substr(dot + 1);
  if (expression.space != "internal" && expression.space != "external") return std::nullopt;
  if (expression.trait.empty() || !std::ranges::all_of(expression.trait, is_trait_character)) return std::nullopt;
  return expression;
}

}  // namespace

bool is_template(std::string_view text) { return text.find("{{") != text.npos || text.find("}}") != text.npos; }

Status check_template(std::string_view text) {
  if (!is_template(text) || parse(text)) return {};
  return fail(ErrorCode::kInvalidArgument,
              "'{}' is not a template; write {{{{internal.NAME}}}} or {{{{external.NAME}}}}, once in a value",
              printable(text));
}

std::vector<std::string> expand_template(std::string_view text, const Traits& traits) {
  if (!is_template(text)) return {std::string(text)};
  const auto expression = parse(text);
  if (!expression) return {};
  const auto trait = traits.find(expression->trait);
  if (trait == traits.end()) return {};
  std::vector<std::string> values;
  for (const std::string& value : trait->second) {
    if (value.empty()) continue;  // "ops-{{external.team}}" must not become "ops-"
    values.push_back(std::string(expression->prefix) + value + std::string(expression->suffix));
  }
  return values;
}

bool is_valid_login(std::string_view login) {
  // What a principal must not hold (contract §6; OpenSSH CVE-2026-35414: a comma made two principals of one), and what
  // would be an option, a path or a pattern where the login is used.
  constexpr std::string_view kRefused = ",*?[]{}!\"'`/:;|&$<>()";
  return !login.empty() && login.size() <= 64 && login.front() != '-' && is_valid_utf8(login) &&
         printable(login) == login && std::ranges::none_of(login, [&](unsigned char c) {
           return c <= 0x20 || c == 0x7f || kRefused.find(static_cast<char>(c)) != kRefused.npos;
         });
}

}  // namespace mezite::access
