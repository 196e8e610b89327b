#include "client/node_login.hh"

#include <utility>

#include "base/text.hh"
#include "ssh/keys/certificate_check.hh"

namespace mezite::client {
namespace {

constexpr std::size_t kMaxLinesBytes = 8192;

}  // namespace

ssh::ClientConfig node_client_config(std::string login, std::vector<ssh::Identity> identities,
                                     const PromptAnswerer& answer) {
  ssh::ClientConfig config;
  config.user = std::move(login);
  config.identities = std::move(identities);
  config.keyboard_interactive = static_cast<bool>(answer);
  config.keepalive.interval = std::chrono::seconds(15);
  return config;
}

void answer_challenge(const ssh::KeyboardInteractiveChallenge& challenge, const PromptAnswerer& answer,
                      ssh::ChallengeResponder responder) {
  if (!answer) return responder.give_up();
  std::vector<Secret> answers;
  for (const auto& prompt : challenge.prompts) {
    std::string text = answer(printable(prompt.text), prompt.echo);
    answers.emplace_back(std::string_view(text));
    wipe(text);
  }
  responder.answer(std::move(answers));
}

Status check_node_certificate(const ssh::PublicKey& key, const ssh::Certificate* certificate,
                              std::span<const ssh::PublicKey> host_cas, std::string_view node, SystemTime now) {
  if (certificate == nullptr) {
    return fail(ErrorCode::kUnauthenticated,
                "'{}' shows a bare host key ({}) instead of a certificate of the cluster; the connection was given up",
                printable(node), key.fingerprint());
  }
  const auto verdict = ssh::verify_certificate(
      *certificate, {.type = ssh::CertificateType::kHost, .trusted_cas = host_cas, .now = now, .principal = node});
  if (verdict) return {};
  return fail(ErrorCode::kUnauthenticated, "the host certificate of '{}' was refused: {}", printable(node),
              verdict.error().message);
}

std::string safe_lines(std::string_view text) {
  std::string out;
  for (const auto line : split(text.substr(0, kMaxLinesBytes), '\n')) out += printable(trim(line)) + "\r\n";
  return out;
}

}  // namespace mezite::client
