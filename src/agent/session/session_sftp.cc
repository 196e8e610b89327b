// What a session does with the log of its SFTP subsystem.
#include "agent/session/session_channel.hh"

namespace mezite::agent {

void SessionChannel::follow_sftp() {
  SftpLogOptions options;
  options.login = visitor_->principal.login;
  options.home = visitor_->login_user.home;
  // The log is this session's, and is told nothing after it: `this` outlives it.
  options.make_event = [this](audit::EventKind kind) {
    audit::Event event = user_event(kind, *context_->options.node->current(), visitor_->principal, visitor_->client.ip,
                                    *context_->options.clock);
    event.session_id = session_id_;
    return event;
  };
  options.store = [context = context_](std::vector<audit::Event> events) { context->store(std::move(events)); };
  options.record = [this](std::string_view line) {
    record_bytes(recording::EventKind::kStdout, as_bytes(std::string(line) + "\n"));
  };
  sftp_ = SftpLog::make(shard_, *context_->options.workers, std::move(options));
}

}  // namespace mezite::agent
