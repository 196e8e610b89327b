// SPIFFE IDs (SPIFFE-ID §2): spiffe://<trust domain>/<path>.
#pragma once

#include <string>
#include <string_view>

#include "base/result.hh"

namespace mezite::spiffe {

inline constexpr std::size_t kMaxIdBytes = 2048;

struct Id {
  std::string trust_domain;  // "prod.example"
  std::string path;          // "/payments/api"; never empty, never ends with '/'

  std::string text() const { return "spiffe://" + trust_domain + path; }
  bool operator==(const Id&) const = default;

  // Exactly as §2.1 and §2.2 have it: nothing is normalized. One without a path names a trust domain and no workload:
  // refused as everything else that is off. kInvalidArgument.
  static Result<Id> parse(std::string_view text);
};

}  // namespace mezite::spiffe
