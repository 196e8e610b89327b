// Labels of a node, and the selectors of roles that match them.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hh"

namespace mezite::access {

using Labels = std::map<std::string, std::string, std::less<>>;
// What is known of a user: name → values ("logins" → ubuntu, root).
using Traits = std::map<std::string, std::vector<std::string>, std::less<>>;

// Keys and values are UTF-8 without control characters, keys not empty, 128/1024 bytes at most, 256 labels at most.
// A node whose labels are not is matched by no rule: it can be neither seen nor reached.
Status check_labels(const Labels& labels);

// "env=prod,team=db" → labels; refuses a missing "=", an empty key and a key that comes twice.
Result<Labels> parse_labels(std::string_view text);

// The node_labels map of a role, compiled. All keys must match (AND), one of a key's values is enough (OR). Immutable
// and cheap to copy; safe to use from any thread.
class LabelSelector {
 public:
  using Entries = std::map<std::string, std::vector<std::string>, std::less<>>;

  LabelSelector() = default;  // matches nothing

  // Refuses malformed expressions and templates, a "*" key with anything but "*", and more than 64 keys or 256 values.
  static Result<LabelSelector> compile(Entries entries);

  // Values with {{internal.x}} or {{external.x}} stand for all values of that trait, literally.
  bool matches(const Labels& labels, const Traits& traits) const;

  bool empty() const { return entries_.empty(); }
  const Entries& entries() const { return entries_; }
  bool operator==(const LabelSelector& other) const { return entries_ == other.entries_; }

 private:
  struct Compiled;
  Entries entries_;
  std::shared_ptr<const Compiled> compiled_;
};

}  // namespace mezite::access
