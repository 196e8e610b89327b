#include <fcntl.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <memory>

#include "base/text.hh"
#include "client/relay_streams.hh"
#include "client/ssh_session.hh"
#include "client/target.hh"
#include "client/terminal.hh"
#include "cmd/msh/commands.hh"
#include "cmd/msh/dial.hh"
#include "cmd/msh/session.hh"
#include "cmd/msh/ssh_options.hh"

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

Status no_input() {
  UniqueFd nothing(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  if (!nothing || ::dup2(nothing.get(), STDIN_FILENO) < 0) return fail_errno(errno, "opening /dev/null");
  return {};
}

// -f: the session runs in a child, which goes to the background when forwards and program are there; until then its end
// is ours. No thread has been made yet, so that the child may go on with anything.
Result<int> run_in_background(UniqueFd socket, client::SessionOptions options) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return fail_errno(errno, "going to the background");
  UniqueFd ready(ends[0]);
  UniqueFd told(ends[1]);
  std::fflush(nullptr);
  const pid_t child = ::fork();
  if (child < 0) return fail_errno(errno, "going to the background");
  if (child == 0) {
    ready.reset();
    auto done = std::make_shared<UniqueFd>(std::move(told));
    options.on_ready = [done, quiet = options.no_session] {
      ::setsid();
      // Without a program there is nothing more to say: whoever reads our output is not to wait for it.
      UniqueFd nothing(quiet ? ::open("/dev/null", O_RDWR | O_CLOEXEC) : -1);
      for (int fd : {STDOUT_FILENO, STDERR_FILENO}) {
        if (nothing) ::dup2(nothing.get(), fd);
      }
      (void)!::write(done->get(), "r", 1);
      done->reset();
    };
    return client::run_session(std::move(socket), std::move(options));
  }
  told.reset();
  socket.reset();
  char byte = 0;
  ssize_t n = 0;
  while ((n = ::read(ready.get(), &byte, 1)) < 0 && errno == EINTR) {
  }
  if (n == 1) return 0;
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  // It has said why.
  return WIFEXITED(status) ? WEXITSTATUS(status) : 255;
}

}  // namespace

Result<int> ssh(const SshOptions& options) {
  MEZ_TRY(SshPlan plan, plan_ssh(options));
  MEZ_TRY(auto dialled, dial(options.proxy, options.target, options.login));
  auto& profile = dialled.session.profile;
  MEZ_TRY(auto identity, identity_of(dialled.session));
  client::SessionOptions session;
  session.login = dialled.target.login;
  session.node = dialled.target.node;
  (options.subsystem ? session.subsystem : session.command) = join(options.command, " ");
  session.pty = plan.pty;
  session.no_session = plan.no_session;
  session.stdio_forward = std::move(plan.stdio_forward);
  session.forwarding = std::move(plan.forwarding);
  session.identities.push_back(std::move(identity));
  MEZ_TRY(session.host_cas, client::parse_key_lines(profile.host_cas));
  session.environment = environment_to_send(plan.options);
  if (client::is_terminal(STDIN_FILENO)) session.answer_prompt = &answer_prompt;
  if (plan.no_input) MEZ_CHECK(no_input());
  if (plan.background) return run_in_background(std::move(dialled.connected.fd), std::move(session));
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
