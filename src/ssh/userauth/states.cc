#include "ssh/userauth/states.hh"

#include <fmt/format.h>

#include <iterator>

namespace mezite::ssh {
namespace {

template <class Rules>
std::string rules_text(const Rules& rules) {
  std::string text;
  for (const auto& rule : rules) {
    fmt::format_to(std::back_inserter(text), "{}: {}\n", auth_state_name(rule.state),
                   message_name(static_cast<std::uint8_t>(rule.message)));
  }
  return text;
}

}  // namespace

std::string_view auth_state_name(ServerAuthState state) {
  switch (state) {
    case ServerAuthState::kIdle: return "idle";
    case ServerAuthState::kDeciding: return "deciding";
    case ServerAuthState::kAwaiting: return "awaiting answers";
    case ServerAuthState::kDone: return "done";
  }
  return "unknown";
}

std::string_view auth_state_name(ClientAuthState state) {
  switch (state) {
    case ClientAuthState::kIdle: return "idle";
    case ClientAuthState::kNone: return "none asked";
    case ClientAuthState::kOffered: return "key offered";
    case ClientAuthState::kProven: return "key proven";
    case ClientAuthState::kInteractive: return "interactive";
    case ClientAuthState::kAnswering: return "answering";
    case ClientAuthState::kDone: return "done";
  }
  return "unknown";
}

std::string server_auth_rules_text() { return rules_text(kServerAuthRules); }
std::string client_auth_rules_text() { return rules_text(kClientAuthRules); }

}  // namespace mezite::ssh
