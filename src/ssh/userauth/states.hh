// Which message is legal in which state of an authentication, for each role. A pair that is not listed is a protocol
// error, found before any handler runs: a client that sends a server's messages (libssh CVE-2018-10933) is not listed
// anywhere.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#include "ssh/wire/message_number.hh"

namespace mezite::ssh {

enum class ServerAuthState : std::uint8_t {
  kIdle,      // the client's turn
  kDeciding,  // a request waits for its answer; what comes meanwhile is held back
  kAwaiting,  // a challenge waits for its answers
  kDone,      // succeeded or given up
};

enum class ClientAuthState : std::uint8_t {
  kIdle,         // before the first request
  kNone,         // "none" waits for its answer
  kOffered,      // a key is offered, without signature
  kProven,       // a signature waits for its answer
  kInteractive,  // keyboard-interactive is asked for, or answers are sent
  kAnswering,    // the user is being asked
  kDone,
};

template <class State>
struct AuthRule {
  State state;
  MessageNumber message;
};

inline constexpr auto kServerAuthRules = std::to_array<AuthRule<ServerAuthState>>({
    {ServerAuthState::kIdle, MessageNumber::kUserauthRequest},
    {ServerAuthState::kAwaiting, MessageNumber::kUserauthInfoResponse},
    // RFC 4256 §3.1: another request gives the challenge up.
    {ServerAuthState::kAwaiting, MessageNumber::kUserauthRequest},
    // RFC 4252 §5.1: requests after success are ignored.
    {ServerAuthState::kDone, MessageNumber::kUserauthRequest},
});

inline constexpr auto kClientAuthRules = std::to_array<AuthRule<ClientAuthState>>({
    {ClientAuthState::kIdle, MessageNumber::kUserauthBanner},
    {ClientAuthState::kNone, MessageNumber::kUserauthBanner},
    {ClientAuthState::kNone, MessageNumber::kUserauthFailure},
    {ClientAuthState::kNone, MessageNumber::kUserauthSuccess},
    {ClientAuthState::kOffered, MessageNumber::kUserauthBanner},
    {ClientAuthState::kOffered, MessageNumber::kUserauthFailure},
    {ClientAuthState::kOffered, MessageNumber::kUserauthPkOk},
    {ClientAuthState::kProven, MessageNumber::kUserauthBanner},
    {ClientAuthState::kProven, MessageNumber::kUserauthFailure},
    {ClientAuthState::kProven, MessageNumber::kUserauthSuccess},
    {ClientAuthState::kInteractive, MessageNumber::kUserauthBanner},
    {ClientAuthState::kInteractive, MessageNumber::kUserauthFailure},
    {ClientAuthState::kInteractive, MessageNumber::kUserauthSuccess},
    {ClientAuthState::kInteractive, MessageNumber::kUserauthInfoRequest},
    {ClientAuthState::kAnswering, MessageNumber::kUserauthBanner},
});

template <class State, std::size_t N>
constexpr bool is_legal(const std::array<AuthRule<State>, N>& rules, State state, std::uint8_t message) {
  for (const auto& rule : rules) {
    if (rule.state == state && static_cast<std::uint8_t>(rule.message) == message) return true;
  }
  return false;
}

std::string_view auth_state_name(ServerAuthState state);
std::string_view auth_state_name(ClientAuthState state);
// The tables, one "state: message" a line.
std::string server_auth_rules_text();
std::string client_auth_rules_text();

}  // namespace mezite::ssh
