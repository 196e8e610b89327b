#include "access/permission.hh"

#include <algorithm>

namespace mezite::access {
namespace {

bool names(const std::vector<std::string>& list, std::string_view name) {
  return std::ranges::any_of(list, [&](const std::string& entry) { return entry == "*" || entry == name; });
}

bool covers(const std::vector<Rule>& rules, std::string_view resource, std::string_view verb) {
  return std::ranges::any_of(
      rules, [&](const Rule& rule) { return names(rule.resources, resource) && names(rule.verbs, verb); });
}

}  // namespace

bool may(std::span<const Role> roles, std::string_view resource, std::string_view verb) {
  const auto denied = [&](const Role& role) { return covers(role.deny.rules, resource, verb); };
  const auto allowed = [&](const Role& role) { return covers(role.allow.rules, resource, verb); };
  return std::ranges::none_of(roles, denied) && std::ranges::any_of(roles, allowed);
}

}  // namespace mezite::access
