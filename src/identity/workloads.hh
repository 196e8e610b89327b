// Workload identities as registered: which processes on which nodes have a SPIFFE ID.
#pragma once

#include <chrono>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.hh"
#include "spiffe/id.hh"
#include "store/database.hh"

namespace mezite::identity {

// SVIDs are renewed at half of their life: less than this is renewing all the time.
inline constexpr std::chrono::seconds kMinSvidTtl{10};
inline constexpr std::chrono::hours kMaxX509SvidTtl{24};
inline constexpr std::chrono::hours kMaxJwtSvidTtl{1};
inline constexpr std::size_t kMaxWorkloads = 10'000;

struct NewWorkload {
  std::string spiffe_id;  // "spiffe://<trust domain>/<path>", or the path alone
  std::vector<std::string> selectors;
  std::chrono::seconds x509_ttl = std::chrono::hours(1);
  std::chrono::seconds jwt_ttl = std::chrono::minutes(5);
  std::vector<std::string> dns_names;
  std::vector<std::string> jwt_audiences;  // empty: any
  std::string hint;
  std::string created_by;
};

struct Workload : NewWorkload {
  std::string id;
  SystemTime created_at{};
};

class Workloads {
 public:
  Workloads(store::Database& database, const Clock& clock) : database_(database), clock_(clock) {}

  // The only one whose IDs are registered. Before the first call.
  void set_trust_domain(std::string name) { trust_domain_ = std::move(name); }

  // Checks all of it. kInvalidArgument; kAlreadyExists for the same ID with the same selectors; kResourceExhausted.
  Result<Workload> create(NewWorkload workload);
  Result<std::vector<Workload>> list() const;  // by SPIFFE ID
  // By id, SPIFFE ID or its path. kNotFound; kFailedPrecondition when several registrations have this SPIFFE ID.
  Result<Workload> get(std::string_view name) const;
  Result<Workload> get_by_id(std::string_view id) const;
  // Gives what was removed. As get().
  Result<Workload> remove(std::string_view name);

 private:
  Result<spiffe::Id> full_id(std::string_view text) const;

  store::Database& database_;
  const Clock& clock_;
  std::string trust_domain_;
};

}  // namespace mezite::identity
