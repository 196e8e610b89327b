// What a client asks of a session before and beside its program: terminal, variables, signals, agent, display.
#include <signal.h>

#include <algorithm>

#include "agent/process/terminal.hh"
#include "agent/session/session_channel.hh"

namespace mezite::agent {
namespace {

constexpr std::size_t kMaxVariables = 64;

std::uint16_t small(std::uint32_t value) { return static_cast<std::uint16_t>(std::min(value, 65535u)); }

}  // namespace

void SessionChannel::on_request(const ssh::ChannelRequest& request, ssh::RequestResponder responder) {
  bool granted = false;
  if (const auto* pty = std::get_if<ssh::PtyRequest>(&request))
    granted = take_pty(*pty);
  else if (const auto* variable = std::get_if<ssh::EnvRequest>(&request))
    granted = take_variable(*variable);
  else if (const auto* signal = std::get_if<ssh::SignalRequest>(&request))
    granted = send_signal(signal->name);
  else if (const auto* window = std::get_if<ssh::WindowChangeRequest>(&request)) {
    resize(window->size);
    granted = has_terminal();
  } else if (std::holds_alternative<ssh::ShellRequest>(request)) {
    return start(LaunchKind::kShell, "", std::move(responder));
  } else if (const auto* exec = std::get_if<ssh::ExecRequest>(&request)) {
    return start(LaunchKind::kCommand, exec->command, std::move(responder));
  } else if (const auto* subsystem = std::get_if<ssh::SubsystemRequest>(&request)) {
    return start_subsystem(subsystem->name, std::move(responder));
  } else if (std::holds_alternative<ssh::AgentForwardRequest>(request)) {
    return want_agent(std::move(responder));
  } else if (const auto* display = std::get_if<ssh::X11Request>(&request)) {
    return want_display(*display, std::move(responder));
  }
  // Break and what is not known: not here.
  if (granted)
    responder.accept();
  else
    responder.reject();
}

bool SessionChannel::take_pty(const ssh::PtyRequest& request) {
  if (state_ != State::kIdle || pty_ || !visitor_->principal.restrictions.pty) return false;
  if (!is_accepted_variable("TERM", request.term)) return false;
  pty_ = request;
  return true;
}

bool SessionChannel::take_variable(const ssh::EnvRequest& request) {
  if (state_ != State::kIdle || variables_.size() >= kMaxVariables) return false;
  if (!is_accepted_variable(request.name, request.value)) return false;
  std::erase_if(variables_, [&](const Variable& old) { return old.name == request.name; });
  variables_.push_back({request.name, request.value});
  return true;
}

void SessionChannel::resize(const ssh::TerminalSize& size) {
  if (!pty_) return;
  pty_->size = size;
  if (terminal_) [[maybe_unused]]
    Status ignored = resize_terminal(terminal_.get(), size);
  if (recording_) recording_->resize(small(size.columns), small(size.rows));
}

bool SessionChannel::send_signal(std::string_view name) {
  int number = signal_number(name);
  if (number == 0 || state_ != State::kRunning || wait_status_) return false;
  return ::kill(-process_.group, number) == 0;
}

// ---- agent and display

bool SessionChannel::may_have(Right right, std::string_view what) {
  auto connection = connection_.lock();
  if (!connection) return false;
  std::optional<Denial> denial = connection->check(right, what);
  if (!denial) return true;
  notices_.push_back(connection->note_denial(*denial, session_id_));
  return false;
}

void SessionChannel::want_agent(ssh::RequestResponder responder) {
  if (state_ != State::kIdle || !may_have(Right::kAgent, "agent forwarding")) return responder.reject();
  extras_->want_agent(std::move(responder));
}

void SessionChannel::want_display(const ssh::X11Request& request, ssh::RequestResponder responder) {
  if (state_ != State::kIdle || !may_have(Right::kX11, "X11 forwarding")) return responder.reject();
  extras_->want_display(request, std::move(responder));
}

}  // namespace mezite::agent
