#include <stdlib.h>
#include <unistd.h>

#include <algorithm>
#include <memory>

#include "base/text.hh"
#include "client/relay_streams.hh"
#include "client/ssh_session.hh"
#include "client/target.hh"
#include "client/terminal.hh"
#include "cmd/msh/commands.hh"
#include "cmd/msh/dial.hh"

extern char** environ;

namespace mezite::msh {
namespace {

// What ssh's own configuration sends on Debian: language, and what -o SetEnv adds.
std::vector<std::pair<std::string, std::string>> environment_to_send(const std::vector<client::SshOption>& options) {
  std::vector<std::pair<std::string, std::string>> out;
  for (char** entry = environ; entry != nullptr && *entry != nullptr; ++entry) {
    const std::string_view text = *entry;
    const std::size_t equals = text.find('=');
    if (equals == std::string_view::npos) continue;
    const std::string_view name = text.substr(0, equals);
    if (name == "LANG" || name.starts_with("LC_")) out.emplace_back(name, text.substr(equals + 1));
  }
  for (const auto& option : options) {
    const std::size_t equals = option.value.find('=');
    if (option.key == "SetEnv" && equals != std::string::npos) {
      out.emplace_back(option.value.substr(0, equals), option.value.substr(equals + 1));
    }
  }
  return out;
}

}  // namespace

Result<int> ssh(const SshOptions& options) {
  std::vector<client::SshOption> parsed;
  for (const auto& text : options.options) {
    MEZ_TRY(auto option, client::parse_ssh_option(text));
    parsed.push_back(std::move(option));
  }
  MEZ_TRY(auto dialled, dial(options.proxy, options.target, options.login));
  auto& profile = dialled.session.profile;
  MEZ_TRY(auto identity, identity_of(dialled.session));
  client::SessionOptions session;
  session.login = dialled.target.login;
  session.node = dialled.target.node;
  (options.subsystem ? session.subsystem : session.command) = join(options.command, " ");
  session.pty = options.no_pty      ? client::PtyMode::kNever
                : options.force_pty ? client::PtyMode::kAlways
                                    : client::PtyMode::kAuto;
  session.no_session = options.no_session;
  session.identities.push_back(std::move(identity));
  MEZ_TRY(session.host_cas, client::parse_key_lines(profile.host_cas));
  session.environment = environment_to_send(parsed);
  if (client::is_terminal(STDIN_FILENO)) session.answer_prompt = &answer_prompt;
  return client::run_session(std::move(dialled.connected.fd), std::move(session));
}

Result<int> proxy_ssh(const std::string& proxy, const std::string& text, const std::string& login) {
  // "%h:%p": the port means nothing here.
  std::string target = text;
  if (const std::size_t colon = target.rfind(':'); colon != std::string::npos) target.resize(colon);
  MEZ_TRY(auto dialled, dial(proxy, target, login));
  MEZ_CHECK(client::relay_standard_streams(std::move(dialled.connected.fd)));
  return 0;
}

}  // namespace mezite::msh
