#include "access/role_set.hh"

#include <algorithm>

#include "base/text.hh"

namespace mezite::access {

RoleSet RoleSet::built_in() {
  RoleSet set;
  for (const Role& role : built_in_roles()) set.put(role);
  return set;
}

Result<RoleSet> RoleSet::parse(std::span<const std::string> documents) {
  RoleSet set;
  for (const std::string& document : documents) {
    MEZ_TRY(Role role, parse_role(document));
    set.put(std::move(role));
  }
  return set;
}

void RoleSet::put(Role role) {
  std::string name = role.name;
  roles_.insert_or_assign(std::move(name), std::move(role));
}

bool RoleSet::remove(std::string_view name) {
  const auto found = roles_.find(name);
  if (found == roles_.end()) return false;
  roles_.erase(found);
  return true;
}

const Role* RoleSet::find(std::string_view name) const {
  const auto found = roles_.find(name);
  return found == roles_.end() ? nullptr : &found->second;
}

RoleSet::Resolved RoleSet::resolve(std::span<const std::string> names) const {
  Resolved resolved;
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (std::ranges::count(names.first(i), names[i]) > 0) continue;
    if (const Role* role = find(names[i])) {
      resolved.roles.push_back(*role);
    } else {
      resolved.missing.push_back(names[i]);
    }
  }
  return resolved;
}

}  // namespace mezite::access
