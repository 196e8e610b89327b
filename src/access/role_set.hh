// All roles there are, by name: what the hub stores and what an agent's snapshot carries.
#pragma once

#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "access/role.hh"

namespace mezite::access {

// A value: build it, then share it as const. No lock inside.
class RoleSet {
 public:
  // The built-in roles alone.
  static RoleSet built_in();
  // Of the documents of a snapshot; one that does not parse fails the whole set, since it may hold a deny.
  static Result<RoleSet> parse(std::span<const std::string> documents);

  void put(Role role);  // replaces one of the same name
  bool remove(std::string_view name);
  const Role* find(std::string_view name) const;  // owned by the set
  std::size_t size() const { return roles_.size(); }

  struct Resolved {
    std::vector<Role> roles;           // in the order of the names, each once
    std::vector<std::string> missing;  // names that no role has
  };
  Resolved resolve(std::span<const std::string> names) const;

 private:
  std::map<std::string, Role, std::less<>> roles_;
};

}  // namespace mezite::access
