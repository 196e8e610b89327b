// What a session may have besides its program: the user's agent, an X11 display. Internal to session/.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "agent/session/forwards.hh"
#include "ssh/connection/channel.hh"

namespace mezite::agent {

// On the shard. They are made when they are asked for, which takes a moment; the program starts after that.
class SessionExtras : public std::enable_shared_from_this<SessionExtras> {
 public:
  explicit SessionExtras(std::shared_ptr<Forwards> forwards) : forwards_(std::move(forwards)) {}

  // Each once; the right to it has been checked.
  void want_agent(ssh::RequestResponder responder);
  void want_display(const ssh::X11Request& request, ssh::RequestResponder responder);

  // At once when nothing is being made, remote forwards included; else when it has been made or has failed. Once.
  void when_ready(std::move_only_function<void()> ready);

  const std::string& agent_socket() const { return agent_socket_; }                    // for SSH_AUTH_SOCK; empty: none
  std::string display() const { return display_ ? display_->name() : std::string(); }  // for DISPLAY; empty: none

  // The session is over: its display goes. The agent stays, for the connection's other sessions.
  void close();

 private:
  void settled();

  std::shared_ptr<Forwards> forwards_;
  int under_way_ = 0;
  bool asked_agent_ = false;
  bool asked_display_ = false;
  bool closed_ = false;
  std::string agent_socket_;
  std::shared_ptr<Display> display_;
  std::move_only_function<void()> ready_;
};

}  // namespace mezite::agent
