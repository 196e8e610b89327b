#include "agent/session/session_channel.hh"

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <termios.h>

#include <cerrno>

#include "agent/process/terminal.hh"
#include "agent/session/recording_plan.hh"
#include "agent/session/traced_launch.hh"
#include "base/id.hh"
#include "base/log.hh"
#include "base/text.hh"

namespace mezite::agent {
namespace {

using audit::EventKind;

constexpr std::chrono::seconds kHangUpGrace{5};
constexpr std::uint32_t kRefusedExitCode = 255;  // what ssh itself ends with when a session can't be had

std::uint16_t small(std::uint32_t value) { return static_cast<std::uint16_t>(std::min(value, 65535u)); }

// "scp -t dir" and "scp -f file": what a client's scp runs on the other side.
bool is_scp(std::string_view command) {
  std::vector<std::string_view> words = split(command, ' ');
  if (words[0] != "scp" && !words[0].ends_with("/scp")) return false;
  for (std::string_view word : words) {
    if (word.size() > 1 && word[0] == '-' && word.find_first_of("tf") != std::string_view::npos) return true;
  }
  return false;
}

}  // namespace

// What a start needs and what came of it; the worker has it between two calls on the shard.
struct SessionChannel::Start {
  LaunchRequest launch;
  recording::Header header;
  RecordingPlan plan;
  audit::Event event;
  audit::Details details;  // of the event, which gets the recording's chain when there is one
  TracedPrincipal who;

  Result<Launched> launched = fail(ErrorCode::kInternal, "not started");
  std::unique_ptr<recording::Session> recording;
  std::optional<Error> recording_error;
};

SessionChannel::SessionChannel(std::shared_ptr<ServerContext> context, net::Shard& shard,
                               std::weak_ptr<Connection> connection, ServerContext::SessionPass pass)
    : context_(std::move(context)),
      shard_(shard),
      connection_(std::move(connection)),
      visitor_(connection_.lock()->visitor()),
      extras_(std::make_shared<SessionExtras>(connection_.lock()->forwards())),
      pass_(std::move(pass)),
      session_id_(new_uuid()),
      last_activity_(shard.now()) {}

SessionChannel::~SessionChannel() {
  shard_.cancel(kill_timer_);
  // The agent goes down with the program running: it must not run on without a recording.
  if (process_.group > 0 && !wait_status_) ::kill(-process_.group, SIGHUP);
  tell_end();
}

void SessionChannel::on_open(ssh::Channel channel) { channel_ = std::move(channel); }

// ---- starting

void SessionChannel::start_subsystem(const std::string& name, ssh::RequestResponder responder) {
  std::string server = name == "sftp" ? find_sftp_server(context_->options.sftp_server) : std::string();
  if (server.empty() || state_ != State::kIdle) return responder.reject();
  if (!visitor_->principal.options.file_copy) {
    return refuse({.kind = EventKind::kAccessDenied,
                   .reason = "file_copy",
                   .explanation = "a role forbids copying files (sftp)",
                   .user_text = "access denied: copying files is not allowed"},
                  std::move(responder));
  }
  subsystem_ = name;
  pty_.reset();  // a terminal would change the bytes on their way
  start(LaunchKind::kSubsystem, std::move(server), std::move(responder));
}

void SessionChannel::start(LaunchKind kind, std::string command, ssh::RequestResponder responder) {
  if (state_ != State::kIdle) return responder.reject();
  auto connection = connection_.lock();
  if (!connection) return;
  // Roles may have changed, and time has passed, since the channel was opened.
  if (auto denial = connection->check(Right::kSession, "a program")) return refuse(*denial, std::move(responder));
  visitor_ = connection->visitor();
  const Principal& principal = visitor_->principal;
  if (kind == LaunchKind::kCommand && !principal.options.file_copy && is_scp(command)) {
    return refuse({.kind = EventKind::kAccessDenied,
                   .reason = "file_copy",
                   .explanation = "a role forbids copying files (scp)",
                   .user_text = "access denied: copying files is not allowed"},
                  std::move(responder));
  }
  if (!principal.restrictions.force_commands.empty()) {
    kind = LaunchKind::kCommand;
    command = principal.restrictions.force_commands[0];
  }
  state_ = State::kStarting;
  kind_ = kind;
  command_ = std::move(command);
  extras_->when_ready([weak = weak_from_this(), responder = std::move(responder)]() mutable {
    auto self = weak.lock();
    if (self && !self->channel_closed_) self->launch_program(std::move(responder));
  });
}

void SessionChannel::launch_program(ssh::RequestResponder responder) {
  if (auto connection = connection_.lock()) {
    for (std::string& text : connection->take_notices()) notices_.push_back(std::move(text));
  }
  const Principal& principal = visitor_->principal;
  started_at_ = context_->options.clock->now();
  started_ = shard_.now();

  std::shared_ptr<const Snapshot> snapshot = context_->options.snapshots->current();
  std::shared_ptr<const NodeFacts> node = context_->options.node->current();
  auto job = std::make_shared<Start>();
  job->who = {principal, visitor_->client.ip, session_id_};
  job->launch.user = visitor_->login_user;
  job->launch.kind = kind_;
  job->launch.command = command_;
  job->launch.pty = pty_;
  job->launch.facts.session_id = session_id_;
  job->launch.facts.client = visitor_->client;
  job->launch.facts.server = visitor_->server;
  job->launch.facts.agent_socket = extras_->agent_socket();
  job->launch.facts.display = extras_->display();
  job->launch.variables = variables_;
  job->launch.pam_service = context_->options.pam_service;

  job->plan = plan_recording(principal.options.record_session, *snapshot, context_->options.on_recording_failure);
  recorded_ = job->plan.record;
  job->header.session_id = session_id_;
  job->header.cluster_name = snapshot->cluster_name;
  job->header.user = principal.user;
  job->header.login = principal.login;
  job->header.node = node->node_name;
  job->header.node_id = node->node_id;
  job->header.client_address = visitor_->client.text();
  job->header.kind = pty_ ? recording::SessionKind::kPty : recording::SessionKind::kExec;
  job->header.command = command_;
  job->header.started_at = started_at_;
  if (pty_) {
    job->header.columns = small(pty_->size.columns);
    job->header.rows = small(pty_->size.rows);
  }

  job->event = user_event(EventKind::kSessionStart, *node, principal, visitor_->client.ip, *context_->options.clock);
  job->event.session_id = session_id_;
  job->details.add("login", principal.login)
      .add("kind", recording::to_text(job->header.kind))
      .add("recorded", job->plan.record);
  job->details.add("client", visitor_->client_software);
  if (!command_.empty()) job->details.add("command", command_);
  if (!subsystem_.empty()) job->details.add("subsystem", subsystem_);

  recording::Session::Callbacks callbacks;
  auto post = [&shard = shard_, weak = weak_from_this()](auto call) {
    return [&shard, weak, call](const auto&... arguments) {
      shard.post([weak, call, arguments...] {
        if (auto self = weak.lock()) call(*self, arguments...);
      });
    };
  };
  callbacks.drained = post([](SessionChannel& self) { self.on_drained(); });
  callbacks.failed =
      post([](SessionChannel& self, const Error& error) { self.on_recording_failed(error, "recording"); });
  callbacks.finished = context_->options.recording_finished;
  std::function<void(const Error&)> stream_lost =
      post([](SessionChannel& self, const Error& error) { self.on_recording_failed(error, "streaming"); });

  auto work = [job, context = context_, callbacks = std::move(callbacks), stream_lost = std::move(stream_lost)] {
    Status open = check_nologin(job->launch.user);
    if (!open) {
      job->launched = std::unexpected(open.error());
      return;
    }
    if (job->plan.record) {
      auto recording = open_recording(context->options, job->plan, job->header, callbacks, stream_lost);
      if (recording)
        job->recording = std::move(*recording);
      else
        job->recording_error = recording.error();
    }
    if (job->recording_error && job->plan.must_record) return;
    // Before the program runs, and durable: a session that leaves no trace is none that may be.
    if (job->recording) job->details.add("chain", chain_id(job->recording->header()));
    job->event.details = job->details.text();
    Status told = context->options.events->emit({job->event});
    if (!told && job->plan.must_record) {
      job->recording_error = told.error();
      return;
    }
    if (!told) log::error("an audit event could not be stored", {{"error", told.error()}});
    job->launched = launch_traced(*context, job->launch, job->who);
  };
  auto then = [self = shared_from_this(), job,
               responder = std::make_shared<ssh::RequestResponder>(std::move(responder))] {
    self->on_started(job, std::move(*responder));
  };
  if (!context_->options.workers->submit(shard_, std::move(work), std::move(then))) {
    state_ = State::kEnded;
    log::warn("too busy to start a session", {{"session", session_id_}});
    channel_.close();
  }
}

void SessionChannel::on_started(std::shared_ptr<Start> job, ssh::RequestResponder responder) {
  recording_ = std::move(job->recording);
  if (job->recording_error) {
    recorded_ = false;
    std::string text = "the session can't be recorded: " + job->recording_error->message;
    log::error("opening a recording", {{"session", session_id_}, {"error", *job->recording_error}});
    if (job->plan.must_record) {
      return refuse({.kind = EventKind::kAccessDeniedRecording,
                     .reason = "recording",
                     .explanation = text,
                     .user_text = "session refused: it can't be recorded"},
                    std::move(responder));
    }
    on_recording_failed(*job->recording_error, "opening");
  }
  if (!job->launched) {
    return refuse({.kind = EventKind::kSessionRejected,
                   .reason = "start",
                   .explanation = job->launched.error().message,
                   .user_text = printable(job->launched.error().message)},
                  std::move(responder));
  }
  process_ = job->launched->process;
  state_ = State::kRunning;
  Status watched = shard_.on_child_exit(process_.child,
                                        [self = shared_from_this()](int wait_status) { self->on_exit(wait_status); });
  if (!watched) log::error("watching the program of a session", {{"session", session_id_}, {"error", watched.error()}});
  if (channel_closed_ || !end_reason_.empty()) {
    out_ended_ = err_ended_ = true;
    hang_up();
    channel_.close();
    return;
  }
  responder.accept();
  for (const std::string& text : std::exchange(notices_, {})) channel_.write_stderr(as_bytes(text + "\r\n"));
  run(std::move(*job->launched));
}

void SessionChannel::run(Launched launched) {
  if (kind_ == LaunchKind::kSubsystem) follow_sftp();
  std::weak_ptr<SessionChannel> weak = weak_from_this();
  auto ended = [weak](bool SessionChannel::* flag) {
    return [weak, flag](Status) {
      auto self = weak.lock();
      if (!self) return;
      (*self).*flag = true;
      self->finish_if_done();
    };
  };
  auto tap = [this](recording::EventKind kind) {
    return [this, kind](BytesView data) {
      bytes_out_ += data.size();
      last_activity_ = shard_.now();
      record(kind, data);
    };
  };
  if (has_terminal()) {
    terminal_ = UniqueFd(::fcntl(launched.out.get(), F_DUPFD_CLOEXEC, 0));
    // The size may have changed while the program was being started.
    if (terminal_) [[maybe_unused]]
      Status ignored = resize_terminal(terminal_.get(), pty_->size);
  }
  in_.emplace(shard_, std::move(launched.in), [weak](Status) {
    // The program reads no more; what comes is dropped, its window given back, and the client told to stop.
    if (const auto self = weak.lock()) self->channel_.send_eow();
  });
  out_.emplace(shard_, std::move(launched.out),
               net::FdToChannel::Options{
                   .kind = ssh::DataKind::kStdout,
                   .first = to_bytes(launched.greeting),
                   .tap = tap(has_terminal() ? recording::EventKind::kOutput : recording::EventKind::kStdout),
                   .memory = [this](std::size_t most) { return recording_ ? recording_->lend(most) : LentMemory(); }},
               ended(&SessionChannel::out_ended_));
  err_ended_ = !launched.err;
  if (launched.err) {
    err_.emplace(
        shard_, std::move(launched.err),
        net::FdToChannel::Options{
            .kind = ssh::DataKind::kStderr, .first = {}, .tap = tap(recording::EventKind::kStderr), .memory = {}},
        ended(&SessionChannel::err_ended_));
  }
  in_->start(channel_);
  out_->start(channel_);
  if (err_) err_->start(channel_);
  deliver_held();
}

void SessionChannel::refuse(const Denial& denial, ssh::RequestResponder responder) {
  const Principal& principal = visitor_->principal;
  Denial full = denial;
  full.user = principal.user;
  full.roles = principal.roles;
  audit::Event event = denial_event(full, *context_->options.node->current(), principal.login, visitor_->client.ip,
                                    *context_->options.clock);
  event.session_id = session_id_;
  std::string text = fmt::format("{} (event {})\r\n", denial.user_text, event.id);
  context_->emit({std::move(event)});
  state_ = State::kEnded;
  end_told_ = true;
  if (recording_) recording_->finish({});
  if (channel_closed_) return;
  // A request that is refused makes clients end before they show what was written: so it is granted, and ends at once.
  responder.accept();
  channel_.write_stderr(as_bytes(text));
  channel_.send_exit_status(kRefusedExitCode);
  channel_.send_eof();
  channel_.close();
}

// ---- bytes

void SessionChannel::on_data(BytesView data, ssh::DataKind) {
  bytes_in_ += data.size();
  last_activity_ = shard_.now();
  if (state_ == State::kEnded || input_ended_) {
    channel_.consumed(data.size());
    return;
  }
  // Recorded when it is delivered, so that a recording that is behind holds the client back by the window.
  if (!in_ || paused_ || !held_.empty()) {
    held_.insert(held_.end(), data.begin(), data.end());
    return;
  }
  deliver(data);
}

void SessionChannel::deliver(BytesView data) {
  record(has_terminal() ? recording::EventKind::kInput : recording::EventKind::kStdin, data);
  last_input_was_line_ = data.back() == '\n' || data.back() == '\r';
  in_->write(data);
}

void SessionChannel::deliver_held() {
  if (!in_ || paused_) return;
  if (!held_.empty()) {
    Bytes data = std::exchange(held_, {});
    deliver(data);
  }
  if (input_ended_ && held_.empty()) on_eof();
}

void SessionChannel::on_eof() {
  input_ended_ = true;
  if (!in_ || !held_.empty()) return;  // deliver_held() comes back here
  if (!has_terminal()) {
    in_->finish();
    return;
  }
  // A terminal has no end; the character that means it is typed, twice when a line is begun (the first ends the line).
  termios settings{};
  if (!terminal_ || ::tcgetattr(terminal_.get(), &settings) != 0 || (settings.c_lflag & ICANON) == 0) return;
  Bytes end_of_file(last_input_was_line_ ? 1 : 2, settings.c_cc[VEOF]);
  in_->write_own(end_of_file);
}

void SessionChannel::on_writable() {
  if (out_) out_->on_writable();
  if (err_) err_->on_writable();
}

void SessionChannel::record(recording::EventKind kind, BytesView data) {
  if (sftp_ && kind == recording::EventKind::kStdin) sftp_->from_client(data);
  if (sftp_ && kind == recording::EventKind::kStdout) sftp_->from_server(data);
  // What is done to files is recorded in words, as long as that can be told.
  if (!sftp_ || kind == recording::EventKind::kStderr || !sftp_->following()) record_bytes(kind, data);
}

void SessionChannel::record_bytes(recording::EventKind kind, BytesView data) {
  if (!recording_) return;
  recording_->write(kind, data);
  if (recording_->congested()) hold_back();
}

void SessionChannel::hold_back() {
  if (paused_) return;
  paused_ = true;
  if (out_) out_->pause();
  if (err_) err_->pause();
}

void SessionChannel::on_drained() {
  if (!paused_ || (recording_ && recording_->congested())) return;
  paused_ = false;
  if (out_) out_->resume();
  if (err_) err_->resume();
  deliver_held();
}

void SessionChannel::on_recording_failed(const Error& error, std::string_view doing) {
  audit::Event event = user_event(EventKind::kSessionRecordingFailed, *context_->options.node->current(),
                                  visitor_->principal, visitor_->client.ip, *context_->options.clock);
  event.session_id = session_id_;
  event.error_message = error.message;
  event.details = audit::Details().add("login", visitor_->principal.login).add("while", doing).text();
  context_->emit({std::move(event)});
  log::error("recording a session", {{"session", session_id_}, {"error", error}});
  bool must = visitor_->principal.options.record_session == access::RecordSession::kStrict ||
              context_->options.on_recording_failure == OnRecordingFailure::kRefuse;
  if (must && state_ == State::kRunning)
    force_end("the session can't be recorded any more");
  else
    on_drained();
}

// ---- the end

void SessionChannel::on_exit(int wait_status) {
  wait_status_ = wait_status;
  if (channel_closed_) {
    shard_.cancel(kill_timer_);
    return tell_end();
  }
  finish_if_done();
}

void SessionChannel::finish_if_done() {
  if (state_ == State::kRunning && out_ended_ && err_ended_ && wait_status_) finish("");
}

void SessionChannel::finish(std::string_view reason) {
  if (state_ == State::kEnded) return;
  state_ = State::kEnded;
  if (end_reason_.empty()) end_reason_ = std::string(reason);
  // Not sooner, though the program may have closed its output long before it ended: clients answer an end of file with
  // CLOSE when they have sent theirs, and would not see the exit status any more.
  channel_.send_eof();
  if (wait_status_ && WIFSIGNALED(*wait_status_)) {
    channel_.send_exit_signal(
        {.name = signal_name(WTERMSIG(*wait_status_)), .core_dumped = WCOREDUMP(*wait_status_) != 0, .message = {}});
  } else if (wait_status_) {
    channel_.send_exit_status(static_cast<std::uint32_t>(WEXITSTATUS(*wait_status_)));
  }
  shard_.cancel(kill_timer_);
  tell_end();
  channel_.close();
}

void SessionChannel::tell_end() {
  if (end_told_ || started_at_ == SystemTime{}) return;
  end_told_ = true;
  std::vector<audit::Event> events;
  if (sftp_) events = sftp_->end();
  recording::SessionEnd end;
  if (wait_status_ && WIFEXITED(*wait_status_)) end.exit_code = WEXITSTATUS(*wait_status_);
  if (wait_status_ && WIFSIGNALED(*wait_status_)) end.signal = signal_name(WTERMSIG(*wait_status_));
  if (recording_) recording_->finish(end);

  const Principal& principal = visitor_->principal;
  audit::Details details;
  details.add("login", principal.login);
  if (end.exit_code) details.add("exit_code", *end.exit_code);
  if (!end.signal.empty()) details.add("signal", end.signal);
  audit::Details command = details;
  auto duration = std::chrono::duration_cast<std::chrono::milliseconds>(shard_.now() - started_);
  details.add("bytes_in", static_cast<std::int64_t>(bytes_in_))
      .add("bytes_out", static_cast<std::int64_t>(bytes_out_))
      .add("duration_ms", static_cast<std::int64_t>(duration.count()))
      .add("recorded", recorded_);
  if (!end_reason_.empty()) details.add("reason", end_reason_);

  std::shared_ptr<const NodeFacts> node = context_->options.node->current();
  if (kind_ != LaunchKind::kShell) {
    audit::Event ran =
        user_event(EventKind::kSessionCommand, *node, principal, visitor_->client.ip, *context_->options.clock);
    ran.session_id = session_id_;
    command.add("command", command_);
    if (!subsystem_.empty()) command.add("subsystem", subsystem_);
    ran.details = command.text();
    events.push_back(std::move(ran));
  }
  audit::Event ended =
      user_event(EventKind::kSessionEnd, *node, principal, visitor_->client.ip, *context_->options.clock);
  ended.session_id = session_id_;
  ended.details = details.text();
  events.push_back(std::move(ended));
  context_->emit(std::move(events));
  pass_ = {};
  extras_->close();
}

void SessionChannel::hang_up() {
  if (process_.group <= 0 || wait_status_) return;
  ::kill(-process_.group, SIGHUP);
  ::kill(-process_.group, SIGCONT);  // a stopped job gets the signal only when it goes on
  if (kill_timer_ != net::TimerId::kNone) return;
  kill_timer_ = shard_.after(kHangUpGrace, [self = shared_from_this()] {
    self->kill_timer_ = {};
    // Whoever was put out goes; who left by themselves may have left something running on purpose (nohup).
    if (!self->end_reason_.empty() && !self->wait_status_)
      ::kill(-self->process_.group, SIGKILL);
    else
      self->tell_end();
  });
}

void SessionChannel::force_end(std::string_view reason) {
  if (state_ == State::kEnded) return;
  if (end_reason_.empty()) end_reason_ = std::string(reason);
  hang_up();
}

void SessionChannel::on_closed() {
  channel_closed_ = true;
  in_.reset();
  out_.reset();
  err_.reset();
  terminal_.reset();
  if (state_ == State::kRunning) {
    state_ = State::kEnded;
    if (wait_status_)
      tell_end();
    else
      hang_up();
  }
}

}  // namespace mezite::agent
