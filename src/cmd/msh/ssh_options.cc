#include "cmd/msh/ssh_options.hh"

#include <stdlib.h>

#include <algorithm>

#include "base/text.hh"
#include "cmd/msh/session.hh"

namespace mezite::msh {
namespace {

using client::SshOption;

// ssh_config(5) has "LocalForward 8080 db:5432", the flag a colon between the two.
std::string as_flag(std::string_view value) {
  std::vector<std::string> words;
  for (std::string_view word : split(value, ' ')) {
    if (!word.empty()) words.emplace_back(word);
  }
  return join(words, ":");
}

const std::string* find(const std::vector<SshOption>& options, std::string_view key) {
  auto found = std::ranges::find(options, key, &SshOption::key);
  return found == options.end() ? nullptr : &found->value;
}

Result<bool> is_yes(const std::vector<SshOption>& options, std::string_view key) {
  const std::string* value = find(options, key);
  if (value == nullptr || *value == "no" || *value == "false") return false;
  if (*value == "yes" || *value == "true") return true;
  return fail(ErrorCode::kInvalidArgument, "-o {}: expected yes or no, got '{}'", key, printable(*value));
}

Status add_forwards(const SshOptions& flags, const std::vector<SshOption>& options,
                    std::vector<client::ForwardSpec>& forwards) {
  auto add = [&](const std::vector<std::string>& given, std::string_view key, auto parse) -> Status {
    std::vector<std::string> all = given;
    for (const SshOption& option : options) {
      if (option.key == key) all.push_back(as_flag(option.value));
    }
    for (const std::string& text : all) {
      MEZ_TRY(client::ForwardSpec spec, parse(text));
      forwards.push_back(std::move(spec));
    }
    return {};
  };
  MEZ_CHECK(add(flags.local_forwards, "LocalForward", client::parse_local_forward));
  MEZ_CHECK(add(flags.remote_forwards, "RemoteForward", client::parse_remote_forward));
  return add(flags.dynamic_forwards, "DynamicForward", client::parse_dynamic_forward);
}

Status plan_agent(const SshOptions& flags, const std::vector<SshOption>& options,
                  client::ForwardingOptions& forwarding) {
  const std::string* option = find(options, "ForwardAgent");
  bool wanted = flags.agent || (option != nullptr && *option != "no");
  if (!wanted || flags.no_agent) return {};
  // "ForwardAgent /path" names the socket.
  const char* socket = ::getenv("SSH_AUTH_SOCK");
  if (!flags.agent && *option != "yes") {
    if (option->find('/') == std::string::npos) {
      return fail(ErrorCode::kInvalidArgument, "-o ForwardAgent: expected yes, no or the path of a socket");
    }
    socket = option->c_str();
  }
  if (socket == nullptr || *socket == '\0') {
    note("there is no agent to forward: SSH_AUTH_SOCK is not set");
    return {};
  }
  forwarding.agent_socket = socket;
  return {};
}

Status plan_x11(const SshOptions& flags, const std::vector<SshOption>& options, client::ForwardingOptions& forwarding) {
  MEZ_TRY(bool by_option, is_yes(options, "ForwardX11"));
  MEZ_TRY(bool trusted, is_yes(options, "ForwardX11Trusted"));
  if (flags.no_x11 || !(flags.x11 || flags.trusted_x11 || by_option)) return {};
  trusted |= flags.trusted_x11;
  MEZ_TRY(forwarding.x11,
          client::find_x11_display(trusted ? client::X11Trust::kTrusted : client::X11Trust::kUntrusted));
  return {};
}

Result<client::PtyMode> plan_pty(const SshOptions& flags, const std::vector<SshOption>& options) {
  if (flags.no_pty) return client::PtyMode::kNever;
  if (flags.force_pty) return client::PtyMode::kAlways;
  const std::string* value = find(options, "RequestTTY");
  if (value == nullptr || *value == "auto") return client::PtyMode::kAuto;
  if (*value == "no") return client::PtyMode::kNever;
  if (*value == "yes" || *value == "force") return client::PtyMode::kAlways;
  return fail(ErrorCode::kInvalidArgument, "-o RequestTTY: expected auto, no, yes or force");
}

}  // namespace

Result<SshPlan> plan_ssh(const SshOptions& flags) {
  SshPlan plan;
  for (const std::string& text : flags.options) {
    MEZ_TRY(SshOption option, client::parse_ssh_option(text));
    plan.options.push_back(std::move(option));
  }
  MEZ_TRY(plan.pty, plan_pty(flags, plan.options));
  MEZ_TRY(const bool background, is_yes(plan.options, "ForkAfterAuthentication"));
  MEZ_TRY(const bool no_input, is_yes(plan.options, "StdinNull"));
  MEZ_TRY(const bool no_forwards, is_yes(plan.options, "ClearAllForwardings"));
  MEZ_TRY(const bool exit_on_failure, is_yes(plan.options, "ExitOnForwardFailure"));
  MEZ_TRY(const bool unlink, is_yes(plan.options, "StreamLocalBindUnlink"));
  const std::string* type = find(plan.options, "SessionType");
  plan.no_session = flags.no_session || (type != nullptr && *type == "none");
  plan.background = flags.background || background;
  plan.no_input = flags.no_input || no_input || plan.background;
  if (!flags.stdio_forward.empty()) {
    // Standard input and output belong to the forward: no session, no other forwards, as with ssh -W.
    MEZ_TRY(plan.stdio_forward, client::parse_stdio_forward(flags.stdio_forward));
    if (!flags.command.empty()) return fail(ErrorCode::kInvalidArgument, "-W runs no command");
    return plan;
  }
  if (plan.background && !plan.no_session && flags.command.empty()) {
    return fail(ErrorCode::kInvalidArgument, "-f needs a command to run, or -N");
  }
  plan.forwarding.on_failure = exit_on_failure ? client::OnForwardFailure::kEnd : client::OnForwardFailure::kGoOn;
  plan.forwarding.stale_socket = unlink ? client::StaleSocket::kRemove : client::StaleSocket::kKeep;
  if (!no_forwards) MEZ_CHECK(add_forwards(flags, plan.options, plan.forwarding.forwards));
  MEZ_CHECK(plan_agent(flags, plan.options, plan.forwarding));
  MEZ_CHECK(plan_x11(flags, plan.options, plan.forwarding));
  return plan;
}

}  // namespace mezite::msh
