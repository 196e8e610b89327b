// A YAML or JSON document as a small tree that remembers its lines. For role.cc and its kin.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.hh"

namespace mezite::access {

struct Entry;

struct Value {
  enum class Kind { kNull, kScalar, kList, kMap };
  Kind kind = Kind::kNull;
  bool quoted = false;  // a scalar that the writer marked as text
  int line = 0;         // 1-based; 0: not known (JSON)
  std::string text;     // of a scalar
  std::vector<Value> items;
  std::vector<Entry> entries;  // in the order of the document; keys are unique
};
struct Entry {
  std::string first;
  Value second;
};

// Refuses more than one document, aliases, duplicate keys, keys that are not scalars, more than 16 levels, text that is
// not UTF-8 or holds NUL, and documents over limit_bytes.
Result<Value> parse_document(std::string_view text, std::size_t limit_bytes);

}  // namespace mezite::access
