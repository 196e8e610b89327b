#include "client/ssh_session.hh"

#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <memory>

#include "base/text.hh"
#include "client/escape.hh"
#include "client/node_login.hh"
#include "client/standard_streams.hh"
#include "client/terminal.hh"
#include "net/connect.hh"
#include "net/ssh_link.hh"
#include "ssh/endpoint/client.hh"

namespace mezite::client {
namespace {

using ssh::ChannelRequest;
using ssh::DataKind;

constexpr std::initializer_list<int> kSignals = {SIGWINCH, SIGTERM, SIGHUP, SIGINT, SIGQUIT};
constexpr std::size_t kReadBytes = 32768;

// The connection and its one session. Everything runs on the shard of the calling thread.
class Session final : public ssh::ClientHandler {
 public:
  explicit Session(SessionOptions options) : options_(std::move(options)) {}

  Result<int> run(UniqueFd socket);

  // ssh::ClientHandler
  Status on_host_key(const ssh::PublicKey& key, const ssh::Certificate* certificate) override {
    return check_node_certificate(key, certificate, options_.host_cas, options_.node, shard_.clock().now());
  }
  void on_banner(std::string_view text) override {
    const std::string banner = safe_lines(text);
    (void)!::write(STDERR_FILENO, banner.data(), banner.size());
  }
  void on_challenge(const ssh::KeyboardInteractiveChallenge& challenge, ssh::ChallengeResponder responder) override;
  void on_authenticated() override;
  void on_channel_open(const ssh::ChannelOpen& open, ssh::ChannelOpenResponder responder) override {
    forwarding_->on_channel_open(open, std::move(responder));
  }
  void on_closed(const Error& error) override {
    if (!exit_status_ && !failure_) failure_ = error;
    finish();
  }

 private:
  // The channel's end of it; shared with the connection, so that it may outlive the session.
  class Handler final : public ssh::ChannelHandler {
   public:
    explicit Handler(Session& session) : session_(session) {}
    void on_open(ssh::Channel channel) override { session_.on_channel(std::move(channel)); }
    void on_open_failed(ssh::OpenFailure, std::string_view text) override {
      session_.fail_with(
          {ErrorCode::kPermissionDenied, fmt::format("the node refused the session: {}", printable(text))});
    }
    void on_data(BytesView data, DataKind kind) override {
      (kind == DataKind::kStderr ? session_.err_ : session_.out_).write(data);
    }
    void on_request(const ChannelRequest& request, ssh::RequestResponder responder) override {
      session_.on_remote_request(request, std::move(responder));
    }
    void on_writable() override { session_.resume_input(); }
    void on_peer_stopped_reading() override { session_.end_input(); }
    void on_closed() override { session_.on_channel_closed(); }

   private:
    Session& session_;
  };

  ForwardingPeer forwarding_peer();
  void on_forwarding_changed();
  void open_session();
  void ask_for_agent_and_display();
  void tell_ready();
  void on_channel(ssh::Channel channel);
  void start_program();
  void on_started(bool granted);
  void on_input();
  void on_remote_request(const ChannelRequest& request, ssh::RequestResponder responder);
  void on_channel_closed();
  void on_signal(int signal);
  void fail_with(Error error) {
    if (!failure_) failure_ = std::move(error);
    finish();
  }
  void resume_input() {
    if (!started_ || input_ended_ || finished_) return;
    send_keys();
    input_.want(true);
  }
  // The program reads no more: neither do we.
  void end_input() {
    if (input_ended_) return;
    input_ended_ = true;
    input_.want(false);
    keys_.clear();
    channel_.send_eof();
  }
  void send_keys() {
    const std::size_t sent = channel_.write(keys_);
    keys_.erase(keys_.begin(), keys_.begin() + static_cast<std::ptrdiff_t>(sent));
  }
  // Says goodbye; the loop ends when the socket is closed and all output is written.
  void finish() {
    if (finished_) return;
    finished_ = true;
    input_.want(false);
    if (!link_ended_) endpoint_->disconnect("session ended");
    stop_when_done();
  }
  void stop_when_done() {
    if (finished_ && link_ended_ && out_.empty() && err_.empty()) shard_.stop();
  }

  SessionOptions options_;
  net::Shard shard_;
  NonBlockingWhile quiet_in_{STDIN_FILENO}, quiet_out_{STDOUT_FILENO}, quiet_err_{STDERR_FILENO};
  InputPump input_{shard_, STDIN_FILENO, [this] { on_input(); }};
  OutputPump out_{shard_, STDOUT_FILENO, [this](std::size_t size) { on_written(size); }};
  OutputPump err_{shard_, STDERR_FILENO, [this](std::size_t size) { on_written(size); }};
  void on_written(std::size_t size) {
    channel_.consumed(size);
    stop_when_done();
  }

  std::unique_ptr<net::SshLink> link_;
  ssh::ClientEndpoint* endpoint_ = nullptr;  // link_'s
  std::shared_ptr<Handler> handler_ = std::make_shared<Handler>(*this);
  std::shared_ptr<Forwarding> forwarding_;
  ssh::Channel channel_;
  std::optional<RawTerminal> raw_;
  EscapeFilter escape_;
  Bytes keys_;  // typed and not yet sent
  bool want_pty_ = false;
  bool input_ended_ = false;
  bool started_ = false;
  bool opened_ = false;        // the session's channel, or it is known that there is none
  bool session_over_ = false;  // forwarded connections may still go on
  bool finished_ = false;
  bool link_ended_ = false;
  std::optional<int> exit_status_;
  std::optional<Error> failure_;
};

Result<int> Session::run(UniqueFd socket) {
  MEZ_CHECK(net::prepare_socket(socket.get()));
  MEZ_CHECK(shard_.on_signals(kSignals, [this](int signal) { on_signal(signal); }));
  MEZ_CHECK(input_.start());
  const bool shell = options_.command.empty() && options_.subsystem.empty();
  forwarding_ = std::make_shared<Forwarding>(shard_, std::move(options_.forwarding), forwarding_peer());
  want_pty_ =
      options_.pty == PtyMode::kAlways || (options_.pty == PtyMode::kAuto && shell && is_terminal(STDIN_FILENO));

  auto endpoint = std::make_unique<ssh::ClientEndpoint>(
      node_client_config(options_.login, options_.identities, options_.answer_prompt), *this, shard_.clock());
  endpoint_ = endpoint.get();
  const auto on_link_end = [this](Status status) {
    link_ended_ = true;
    if (!status && !exit_status_ && !failure_) failure_ = status.error();
    finish();
    stop_when_done();
  };
  link_ = std::make_unique<net::SshLink>(shard_, std::move(socket), std::move(endpoint), Bytes(), on_link_end,
                                         net::SshLinkOptions{.close_limit = std::chrono::seconds(1)});
  shard_.run();
  raw_.reset();
  forwarding_->stop_listening();
  link_.reset();
  forwarding_.reset();
  if (exit_status_) return *exit_status_;
  if (failure_) return std::unexpected(*failure_);
  return fail(ErrorCode::kUnavailable, "the connection to {} ended before the session did", options_.node);
}

void Session::on_challenge(const ssh::KeyboardInteractiveChallenge& challenge, ssh::ChallengeResponder responder) {
  if (options_.answer_prompt && !challenge.instruction.empty()) on_banner(challenge.instruction);
  answer_challenge(challenge, options_.answer_prompt, std::move(responder));
}

ForwardingPeer Session::forwarding_peer() {
  ForwardingPeer peer;
  peer.open_channel = [this](const ssh::ChannelOpen& open, std::shared_ptr<ssh::ChannelHandler> handler) {
    endpoint_->open_channel(open, std::move(handler));
  };
  peer.global_request = [this](const ssh::GlobalRequest& request, ssh::GlobalReplyCallback on_reply) {
    endpoint_->global_request(request, std::move(on_reply));
  };
  peer.tell = [this](const std::string& text) {
    const std::string line = "msh: " + text + (raw_ ? "\r\n" : "\n");
    (void)!::write(STDERR_FILENO, line.data(), line.size());
  };
  peer.fail = [this](Error why) { fail_with(std::move(why)); };
  peer.changed = [this] { on_forwarding_changed(); };
  return peer;
}

void Session::on_authenticated() { forwarding_->start(); }

// The session comes after the forwards: a program in it may rely on them, and ExitOnForwardFailure means that it does.
void Session::on_forwarding_changed() {
  if (finished_) return;
  if (forwarding_->ready() && !std::exchange(opened_, true)) open_session();
  if (session_over_ && forwarding_->live() == 0) finish();
}

void Session::open_session() {
  if (options_.stdio_forward) {
    const ForwardPoint& to = *options_.stdio_forward;
    ssh::ChannelOpen open = ssh::DirectTcpipOpen{
        .host = to.host, .port = to.port, .originator_host = "127.0.0.1", .originator_port = 65535};
    if (to.is_socket()) open = ssh::DirectStreamlocalOpen{.path = to.path};
    channel_ = endpoint_->open_channel(open, handler_);
  } else if (options_.no_session) {
    tell_ready();
  } else {
    channel_ = endpoint_->open_channel(ssh::SessionOpen{}, handler_);
  }
}

void Session::tell_ready() {
  if (options_.on_ready) std::exchange(options_.on_ready, nullptr)();
}

void Session::ask_for_agent_and_display() {
  auto refused = [this](std::string_view what) {
    return [this, what](bool granted) {
      if (!granted) forwarding_peer().tell(fmt::format("the node does not forward the {}", what));
      return granted;
    };
  };
  if (forwarding_->shares_agent()) {
    channel_.request(ssh::AgentForwardRequest{}, [this, ask = refused("agent")](bool granted) {
      if (ask(granted)) forwarding_->allow_agent();
    });
  }
  if (forwarding_->x11()) {
    const X11Display& display = *forwarding_->x11();
    const ssh::X11Request request{.single_connection = false,
                                  .protocol = display.protocol,
                                  .cookie = to_hex(display.fake),
                                  .screen = display.screen};
    channel_.request(request, [this, ask = refused("display")](bool granted) {
      if (ask(granted)) forwarding_->allow_x11();
    });
  }
}

void Session::on_channel(ssh::Channel channel) {
  channel_ = std::move(channel);
  endpoint_->send_no_more_sessions();  // this one is all: who takes this connection over gets no other
  if (options_.stdio_forward) {
    started_ = true;
    tell_ready();
    return input_.want(true);
  }
  ask_for_agent_and_display();
  for (const auto& [name, value] : options_.environment) channel_.request(ssh::EnvRequest{name, value});
  if (!want_pty_) return start_program();
  const char* term = ::getenv("TERM");
  const ssh::PtyRequest pty{.term = term != nullptr && *term != '\0' ? term : "xterm",
                            .size = terminal_size(STDIN_FILENO),
                            .modes = terminal_modes(STDIN_FILENO)};
  channel_.request(pty, [this](bool granted) {
    if (!granted) {
      const std::string note = "msh: the node gives no terminal; going on without one\r\n";
      (void)!::write(STDERR_FILENO, note.data(), note.size());
      want_pty_ = false;
    }
    start_program();
  });
}

void Session::start_program() {
  const auto started = [this](bool granted) { on_started(granted); };
  if (!options_.subsystem.empty()) {
    channel_.request(ssh::SubsystemRequest{options_.subsystem}, started);
  } else if (!options_.command.empty()) {
    channel_.request(ssh::ExecRequest{options_.command}, started);
  } else {
    channel_.request(ssh::ShellRequest{}, started);
  }
}

void Session::on_started(bool granted) {
  if (finished_) return;
  if (!granted) {
    const std::string_view what =
        options_.subsystem.empty() ? (options_.command.empty() ? "a shell" : "the command") : "the subsystem";
    return fail_with({ErrorCode::kPermissionDenied, fmt::format("the node refused to start {}", what)});
  }
  if (want_pty_ && is_terminal(STDIN_FILENO)) {
    if (auto raw = RawTerminal::enter(STDIN_FILENO)) raw_.emplace(std::move(*raw));
  }
  started_ = true;
  tell_ready();
  input_.want(true);
}

void Session::on_input() {
  if (input_ended_ || !channel_.is_open()) return input_.want(false);
  const std::size_t room = channel_.writable();
  if (room == 0) return input_.want(false);  // on_writable() comes
  if (!keys_.empty()) return send_keys();
  ssize_t got = 0;
  if (raw_) {
    std::array<std::uint8_t, 4096> typed;
    got = ::read(STDIN_FILENO, typed.data(), typed.size());
    if (got > 0) {
      const auto verdict = escape_.filter(BytesView(typed).first(static_cast<std::size_t>(got)), keys_);
      send_keys();
      if (verdict == EscapeFilter::Verdict::kDisconnect) {
        return fail_with({ErrorCode::kUnavailable, fmt::format("connection to {} closed", options_.node)});
      }
      return;
    }
  } else {
    thread_local std::array<std::uint8_t, kReadBytes> piped;
    got = ::read(STDIN_FILENO, piped.data(), std::min(room, piped.size()));
    // All of it is taken: that was asked for before.
    if (got > 0) channel_.write(BytesView(piped).first(static_cast<std::size_t>(got)));
  }
  if (got > 0 || (got < 0 && (errno == EINTR || errno == EAGAIN))) return;
  input_ended_ = true;  // an error is an end as well: a terminal that hung up
  input_.want(false);
  channel_.send_eof();
}

void Session::on_remote_request(const ChannelRequest& request, ssh::RequestResponder responder) {
  if (const auto* status = std::get_if<ssh::ExitStatus>(&request)) {
    exit_status_ = static_cast<int>(status->code & 0xff);
    responder.accept();
  } else if (const auto* signal = std::get_if<ssh::ExitSignal>(&request)) {
    failure_ =
        Error{ErrorCode::kUnavailable, fmt::format("the remote program was ended by SIG{}", printable(signal->name))};
    responder.accept();
  }
}

void Session::on_channel_closed() {
  if (options_.stdio_forward && !failure_) exit_status_ = 0;
  if (!exit_status_ && !failure_) {
    failure_ =
        Error{ErrorCode::kUnavailable, fmt::format("{} closed the session without an exit status", options_.node)};
  }
  session_over_ = true;
  input_.want(false);
  if (raw_) raw_.reset();
  // What the peer sent is in the pumps. Forwarded connections that are open hold the SSH connection, as with ssh.
  forwarding_->stop_listening();
  if (forwarding_->live() == 0) finish();
}

void Session::on_signal(int signal) {
  if (signal == SIGWINCH) {
    if (raw_) channel_.request(ssh::WindowChangeRequest{terminal_size(STDIN_FILENO)});
    return;
  }
  fail_with({ErrorCode::kUnavailable, fmt::format("ended by {}", ::strsignal(signal))});
  shard_.stop();
}

}  // namespace

Status prepare_session_signals() { return net::Shard::block_signals(kSignals); }

Result<int> run_session(UniqueFd socket, SessionOptions options) {
  const auto session = std::make_unique<Session>(std::move(options));
  return session->run(std::move(socket));
}

}  // namespace mezite::client
