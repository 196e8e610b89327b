#include "auth/use/iam_join.hh"

#include <algorithm>

#include "base/text.hh"
#include "crypto/hash.hh"
#include "crypto/random.hh"

namespace mezite::auth {
namespace {

constexpr std::chrono::seconds kStsLimit{8};

}  // namespace

Result<std::string> Challenges::issue() {
  SteadyTime now = clock_.steady();
  const std::lock_guard lock(mutex_);
  if (now >= sweep_at_ || issued_.size() >= kMost) {
    std::erase_if(issued_, [&](const auto& entry) { return entry.second.until <= now; });
    sweep_at_ = now + kChallengeLife;
  }
  if (issued_.size() >= kMost) {
    return fail(ErrorCode::kResourceExhausted, "too many machines are joining at once; try again in a minute");
  }
  std::string challenge = crypto::random_token();
  issued_[challenge] = {.until = now + kChallengeLife};
  return challenge;
}

Status Challenges::spend(std::string_view challenge) {
  const std::lock_guard lock(mutex_);
  auto found = issued_.find(challenge);
  if (found == issued_.end()) {
    return fail(ErrorCode::kFailedPrecondition, "this hub gave no such challenge, or long ago; join again");
  }
  if (std::exchange(found->second.spent, true)) {
    return fail(ErrorCode::kFailedPrecondition, "the challenge was used already, and works once; join again");
  }
  if (found->second.until <= clock_.steady()) {
    return fail(ErrorCode::kFailedPrecondition, "the challenge expired after {}; join again",
                format_duration(kChallengeLife));
  }
  return {};
}

Status IamJoins::check_config(const Config& config) {
  auto endpoint = aws::parse_endpoint(config.auth.sts_endpoint);
  if (!endpoint) return fail(ErrorCode::kInvalidArgument, "auth.iam.sts_endpoint: {}", endpoint.error().message);
  bool plain = std::ranges::all_of(config.auth.sts_region,
                                   [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-'; });
  if (plain && !config.auth.sts_region.empty()) return {};
  return fail(ErrorCode::kInvalidArgument, "auth.iam.sts_region: '{}' is no region; use one like eu-central-1",
              printable(config.auth.sts_region));
}

IamJoins::IamJoins(Services& services) : services_(services), challenges_(services.clock) {
  if (auto endpoint = aws::parse_endpoint(services.config.auth.sts_endpoint)) endpoint_ = std::move(*endpoint);
}

Result<IamJoins::Challenge> IamJoins::challenge() {
  MEZ_TRY(std::string challenge, challenges_.issue());
  return Challenge{std::move(challenge), endpoint_.host_header, services_.config.auth.sts_region};
}

Result<identity::AwsIdentity> IamJoins::identify(const JoinOrder& order, BytesView signed_request,
                                                 const aws::CallerIdentityRequest& sts) {
  MEZ_TRY(std::string statement, aws::check_caller_identity_request(sts, endpoint_, services_.config.auth.sts_region));
  // "<challenge> <pin> <hash>": what it was signed for. A request that was signed for another hub, or for keys and
  // labels of somebody else, is worth nothing here.
  std::vector<std::string_view> parts = split(statement, ' ');
  if (parts.size() != 3) return fail(ErrorCode::kInvalidArgument, "what was signed is not for joining");
  MEZ_CHECK(challenges_.spend(parts[0]));
  std::vector<std::string> pins = services_.authority->host_ca_pins();
  if (std::ranges::find(pins, parts[1]) == pins.end()) {
    return fail(ErrorCode::kUnauthenticated, "what was signed is for joining another cluster; check MEZITE_AUTH_ADDR");
  }
  if (parts[2] != to_hex(crypto::sha256(signed_request))) {
    return fail(ErrorCode::kUnauthenticated, "what was signed is for another node or other keys; join again");
  }
  // AWS is not asked for the sake of somebody who could not join anyway.
  MEZ_CHECK(services_.identity->join_tokens.find_iam(order.token.substr(0, order.token.find('.'))));
  if (!asking_.try_acquire()) {
    return fail(ErrorCode::kResourceExhausted, "too many machines are joining at once; try again in a moment");
  }
  auto who = aws::ask_caller_identity(endpoint_, sts, kStsLimit);
  asking_.release();
  if (!who) return std::unexpected(who.error());
  return identity::AwsIdentity{std::move(who->account), std::move(who->arn)};
}

Result<JoinedNode> IamJoins::join(const JoinOrder& order, BytesView signed_request,
                                  const aws::CallerIdentityRequest& sts, std::string_view client_ip) {
  Result<identity::AwsIdentity> who = identify(order, signed_request, sts);
  if (!who) {
    MEZ_CHECK(reject_join(services_, order, client_ip, who.error(), nullptr));
    return std::unexpected(who.error());
  }
  return join_node(services_, order, client_ip, &*who);
}

}  // namespace mezite::auth
