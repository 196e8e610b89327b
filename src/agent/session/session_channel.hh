// A session channel: its program, its terminal, its recording, its events. Internal to session/.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "agent/session/connection.hh"
#include "agent/session/context.hh"
#include "agent/session/launch.hh"
#include "agent/session/session_extras.hh"
#include "agent/sftp/sftp_log.hh"
#include "net/channel_relay.hh"
#include "recording/recorder.hh"
#include "ssh/connection/channel.hh"

namespace mezite::agent {

// Lives on the connection's shard, until both the channel has closed and the program's end has been told.
class SessionChannel final : public ssh::ChannelHandler, public std::enable_shared_from_this<SessionChannel> {
 public:
  // connection: one that somebody has authenticated on.
  SessionChannel(std::shared_ptr<ServerContext> context, net::Shard& shard, std::weak_ptr<Connection> connection,
                 ServerContext::SessionPass pass);
  ~SessionChannel() override;

  const std::string& session_id() const { return session_id_; }
  SteadyTime last_activity() const { return last_activity_; }
  // Ends the session against the user's will: hang-up, then KILL. The reason goes into the audit log.
  void force_end(std::string_view reason);

  void on_open(ssh::Channel channel) override;
  void on_data(BytesView data, ssh::DataKind kind) override;
  void on_eof() override;
  void on_request(const ssh::ChannelRequest& request, ssh::RequestResponder responder) override;
  void on_writable() override;
  void on_closed() override;

 private:
  enum class State { kIdle, kStarting, kRunning, kEnded };
  struct Start;

  bool take_pty(const ssh::PtyRequest& request);
  bool take_variable(const ssh::EnvRequest& request);
  void resize(const ssh::TerminalSize& size);
  bool send_signal(std::string_view name);
  void want_agent(ssh::RequestResponder responder);
  void want_display(const ssh::X11Request& request, ssh::RequestResponder responder);
  // Whether it may be had now; says and notes why not.
  bool may_have(Right right, std::string_view what);
  void start(LaunchKind kind, std::string command, ssh::RequestResponder responder);
  void launch_program(ssh::RequestResponder responder);
  void start_subsystem(const std::string& name, ssh::RequestResponder responder);
  void on_started(std::shared_ptr<Start> started, ssh::RequestResponder responder);
  void run(Launched launched);
  void refuse(const Denial& denial, ssh::RequestResponder responder);

  void deliver(BytesView data);
  void deliver_held();
  void record(recording::EventKind kind, BytesView data);
  void record_bytes(recording::EventKind kind, BytesView data);
  void follow_sftp();
  void hold_back();
  void on_drained();
  void on_recording_failed(const Error& error, std::string_view doing);

  void on_exit(int wait_status);
  void finish_if_done();
  void finish(std::string_view reason);
  void tell_end();
  void hang_up();
  bool has_terminal() const { return pty_.has_value(); }

  std::shared_ptr<ServerContext> context_;
  net::Shard& shard_;
  std::weak_ptr<Connection> connection_;
  std::shared_ptr<const Visitor> visitor_;
  std::shared_ptr<SessionExtras> extras_;
  std::vector<std::string> notices_;  // for the user, before the program's output
  ServerContext::SessionPass pass_;
  const std::string session_id_;
  ssh::Channel channel_;
  State state_ = State::kIdle;

  std::optional<ssh::PtyRequest> pty_;
  std::vector<Variable> variables_;
  LaunchKind kind_ = LaunchKind::kShell;
  std::string command_;
  std::string subsystem_;
  SystemTime started_at_{};
  SteadyTime started_{};
  SteadyTime last_activity_{};

  Spawned process_;
  UniqueFd terminal_;  // for sizes
  std::optional<net::ChannelToFd> in_;
  std::optional<net::FdToChannel> out_;
  std::optional<net::FdToChannel> err_;
  bool out_ended_ = false;
  bool err_ended_ = false;
  bool last_input_was_line_ = true;

  std::unique_ptr<recording::Session> recording_;
  std::shared_ptr<SftpLog> sftp_;  // of the subsystem: what is done to files
  bool recorded_ = false;
  bool paused_ = false;
  Bytes held_;  // input that waits for the program or the recording; at most the window
  bool input_ended_ = false;

  std::optional<int> wait_status_;
  std::string end_reason_;
  bool channel_closed_ = false;
  bool end_told_ = false;
  net::TimerId kill_timer_{};
  std::uint64_t bytes_in_ = 0;
  std::uint64_t bytes_out_ = 0;
};

}  // namespace mezite::agent
