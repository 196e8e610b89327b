#include "ssh/userauth/auth.hh"

#include <algorithm>
#include <utility>

#include "ssh/userauth/client_auth.hh"
#include "ssh/userauth/server_auth.hh"

namespace mezite::ssh {

std::string_view auth_method_name(AuthMethod method) {
  switch (method) {
    case AuthMethod::kNone: return "none";
    case AuthMethod::kPublicKey: return "publickey";
    case AuthMethod::kKeyboardInteractive: return "keyboard-interactive";
  }
  return "unknown";
}

void Restrictions::add(const Restrictions& other) {
  pty = pty && other.pty;
  port_forwarding = port_forwarding && other.port_forwarding;
  agent_forwarding = agent_forwarding && other.agent_forwarding;
  x11_forwarding = x11_forwarding && other.x11_forwarding;
  user_rc = user_rc && other.user_rc;
  const auto merge = [](std::vector<std::string>& into, const std::vector<std::string>& from) {
    for (const std::string& item : from) {
      if (std::ranges::find(into, item) == into.end()) into.push_back(item);
    }
  };
  merge(force_commands, other.force_commands);
  merge(source_addresses, other.source_addresses);
}

void AuthResponder::accept(const Restrictions& restrictions) {
  const auto auth = std::exchange(auth_, {}).lock();
  if (auth) auth->decide(ticket_, ServerAuth::Verdict::kAccept, {}, restrictions);
}
void AuthResponder::partial(const std::vector<AuthMethod>& methods, const Restrictions& restrictions) {
  const auto auth = std::exchange(auth_, {}).lock();
  if (auth) auth->decide(ticket_, ServerAuth::Verdict::kPartial, methods, restrictions);
}
void AuthResponder::challenge(const KeyboardInteractiveChallenge& challenge) {
  const auto auth = std::exchange(auth_, {}).lock();
  if (auth) auth->challenge(ticket_, challenge);
}
void AuthResponder::reject() {
  const auto auth = std::exchange(auth_, {}).lock();
  if (auth) auth->decide(ticket_, ServerAuth::Verdict::kReject, {}, {});
}

void ChallengeResponder::answer(std::vector<Secret> answers) {
  const auto auth = std::exchange(auth_, {}).lock();
  if (auth) auth->answer(ticket_, std::move(answers));
}
void ChallengeResponder::give_up() {
  const auto auth = std::exchange(auth_, {}).lock();
  if (auth) auth->give_up_challenge(ticket_);
}

}  // namespace mezite::ssh
