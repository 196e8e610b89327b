// Joining by cloud identity: the hub gives a challenge, the machine signs a request to AWS STS with it, the hub sends
// the request and learns who the machine is (docs/protocols.md).
#pragma once

#include <map>
#include <mutex>
#include <semaphore>
#include <string>
#include <string_view>

#include "auth/services.hh"
#include "auth/use/node.hh"
#include "aws/sts.hh"

namespace mezite::auth {

inline constexpr std::chrono::seconds kChallengeLife{60};

// The challenges that are out. Thread-safe.
class Challenges {
 public:
  explicit Challenges(const Clock& clock) : clock_(clock) {}

  // 43 characters of 32 random bytes. kResourceExhausted when kMost are out.
  Result<std::string> issue();
  // Each once, within kChallengeLife. kFailedPrecondition says which of the two is wrong.
  Status spend(std::string_view challenge);

  static constexpr std::size_t kMost = 65'536;

 private:
  struct Issued {
    SteadyTime until{};
    bool spent = false;  // remembered to its end, so that a replay is told from a stranger's
  };
  const Clock& clock_;
  std::mutex mutex_;
  std::map<std::string, Issued, std::less<>> issued_;
  SteadyTime sweep_at_{};
};

// Thread-safe; the services outlive it.
class IamJoins {
 public:
  // kInvalidArgument: auth.iam.* can't be used.
  static Status check_config(const Config& config);
  explicit IamJoins(Services& services);

  struct Challenge {
    std::string challenge, sts_host, sts_region;
  };
  Result<Challenge> challenge();

  // signed_request: the bytes that order was read from, whose hash is in what the machine signed. Blocks for as long as
  // STS takes (8 seconds at most). Refusals are audited as token.rejected.
  Result<JoinedNode> join(const JoinOrder& order, BytesView signed_request, const aws::CallerIdentityRequest& sts,
                          std::string_view client_ip);

 private:
  Result<identity::AwsIdentity> identify(const JoinOrder& order, BytesView signed_request,
                                         const aws::CallerIdentityRequest& sts);

  Services& services_;
  aws::Endpoint endpoint_;
  Challenges challenges_;
  // A service that is slow must not take all workers from those who wait for something else.
  std::counting_semaphore<> asking_{kMostAsking};
  static constexpr int kMostAsking = 3;
};

}  // namespace mezite::auth
