#include "agent/join.hh"

#include <random>

#include "agent/hub/balancer.hh"
#include "agent/hub/control.hh"
#include "agent/hub/hub_api.hh"
#include "base/log.hh"

namespace mezite::agent {
namespace {

constexpr std::chrono::seconds kProbeLimit{10};
constexpr std::string_view kFreshToken =
    "make a new one with `mezctl tokens create --roles=node` and set MEZITE_JOIN_TOKEN";
constexpr std::string_view kIamToken =
    "make one with `mezctl tokens create --roles=node --join-method=iam --aws-account=ACCOUNT`";

bool worth_another_try(const Error& error) {
  return error.code == ErrorCode::kUnavailable || error.code == ErrorCode::kTimeout || error.code == ErrorCode::kIo ||
         error.code == ErrorCode::kResourceExhausted;
}

Result<AgentIdentity> try_once(const Config& config, const std::vector<std::string>& pins, const AgentKeys& keys,
                               aws::CredentialChain* iam) {
  JoinOrder order{.token = config.join_token.text(), .iam = iam, .pin = pins[0]};
  order.node_name = config.node_name;
  order.hostname = config.hostname;
  order.labels = evaluate_labels(config);
  Result<AgentIdentity> identity = [&]() -> Result<AgentIdentity> {
    if (config.tls_wrap == TlsWrap::kOn) {
      MEZ_TRY(std::string roots, balancer_roots(config.tls_ca_file));
      return join_hub_through(config.auth_addr, roots, pins, order, keys);
    }
    MEZ_TRY(auto chain, hub_chain(config.auth_addr, kProbeLimit));
    MEZ_TRY(PinnedHub pinned, pin_hub(chain, pins, system_clock().now()));
    return join_hub(config.auth_addr, pinned, order, keys);
  }();
  if (identity || worth_another_try(identity.error()) || iam) return identity;
  return fail(identity.error().code, "{}; if the token is the reason, {}", identity.error().message, kFreshToken);
}

}  // namespace

Result<std::string> pin_of_token(std::string_view token) {
  std::size_t dot = token.find('.');
  if (dot != std::string_view::npos && token.size() < 512) {
    Result<Bytes> secret = from_base64url(token.substr(0, dot));
    Result<Bytes> pin = from_hex(token.substr(dot + 1));
    if (secret && pin && secret->size() == 32 && pin->size() == 32) return to_hex(*pin);
  }
  return fail(ErrorCode::kInvalidArgument, "MEZITE_JOIN_TOKEN is not a join token; {}", kFreshToken);
}

Result<std::vector<std::string>> iam_pins(std::string_view token, const std::string& ca_pin) {
  std::string_view id = token.substr(0, token.find('.'));
  std::string_view pin = id.size() < token.size() ? token.substr(id.size() + 1) : std::string_view();
  Result<Bytes> id_bytes = from_hex(id);
  Result<Bytes> pin_bytes = from_hex(pin);
  bool good_pin = pin.empty() || (pin_bytes && pin_bytes->size() == 32);
  if (!id_bytes || id_bytes->size() != 6 || !good_pin) {
    return fail(ErrorCode::kInvalidArgument, "MEZITE_JOIN_TOKEN is not a join token of method iam; {}", kIamToken);
  }
  std::vector<std::string> pins;
  if (!pin.empty()) pins.push_back(to_hex(*pin_bytes));
  if (!ca_pin.empty() && (pins.empty() || pins[0] != ca_pin)) pins.push_back(ca_pin);
  if (pins.empty()) {
    return fail(ErrorCode::kInvalidArgument,
                "MEZITE_JOIN_TOKEN carries no pin of the Host CA; give the whole token, or set MEZITE_CA_PIN");
  }
  return pins;
}

Result<std::optional<AgentIdentity>> join(const Config& config, const IdentityFolder& folder, const Pause& pause) {
  if (config.join_token.empty()) {
    return fail(ErrorCode::kFailedPrecondition, "this agent has not joined a hub yet and has no token for it; {}",
                config.join_method == JoinMethod::kIam ? kIamToken : kFreshToken);
  }
  std::vector<std::string> pins;
  std::optional<aws::CredentialChain> iam;
  if (config.join_method == JoinMethod::kIam) {
    iam.emplace();
    MEZ_TRY(pins, iam_pins(config.join_token.text(), config.ca_pin));
  } else {
    MEZ_TRY(std::string of_token, pin_of_token(config.join_token.text()));
    pins.push_back(of_token);
    if (!config.ca_pin.empty() && config.ca_pin != of_token) pins.push_back(config.ca_pin);
  }
  // The same keys for every try: a hub that has taken the token, but could not say so, has seen these.
  MEZ_TRY(AgentKeys keys, AgentKeys::generate());
  std::mt19937_64 random{std::random_device{}()};
  for (unsigned failures = 0;;) {
    Result<AgentIdentity> identity = try_once(config, pins, keys, iam ? &*iam : nullptr);
    if (identity) {
      MEZ_CHECK(folder.create(*identity));
      log::info("joined the cluster", {{"cluster", identity->cluster_name},
                                       {"node", identity->node_name},
                                       {"node_id", identity->node_id},
                                       {"hub", config.auth_addr.text()}});
      return std::optional<AgentIdentity>(std::move(*identity));
    }
    if (!worth_another_try(identity.error())) return std::unexpected(identity.error());
    auto delay = reconnect_delay(++failures, random());
    log::warn("joining failed",
              {{"hub", config.auth_addr.text()}, {"error", identity.error()}, {"retry_in_ms", delay.count()}});
    if (!pause(delay)) return std::optional<AgentIdentity>();
  }
}

}  // namespace mezite::agent
