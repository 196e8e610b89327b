#include "agent/session/traced_launch.hh"

#include "base/log.hh"

namespace mezite::agent {

Result<Launched> launch_traced(ServerContext& context, const LaunchRequest& request, const TracedPrincipal& who) {
  const ServerOptions& options = context.options;
  if (options.enhanced_recording == EnhancedRecording::kOff) return launch(request);
  TracedSession session{.make_event =
                            [node = options.node->current(), clock = options.clock, who](audit::EventKind kind) {
                              audit::Event event = user_event(kind, *node, who.principal, who.client_ip, *clock);
                              event.session_id = who.session_id;
                              return event;
                            },
                        .login = who.principal.login,
                        .session_id = who.session_id,
                        .uid = request.user.uid};
  const auto make_event = session.make_event;
  using Starting = std::unique_ptr<KernelTracer::Starting>;
  Result<Starting> starting = options.tracer
                                  ? options.tracer->start(std::move(session))
                                  : Result<Starting>(fail(ErrorCode::kUnavailable, "{}", options.tracer_problem));
  if (starting) {
    LaunchRequest followed = request;
    followed.cgroup_fd = (*starting)->cgroup();
    return launch(followed);  // the mark is taken away after that
  }

  const bool required = options.enhanced_recording != EnhancedRecording::kAuto;
  audit::Event event = make_event(audit::EventKind::kSessionTracingFailed);
  event.error_message = starting.error().message;
  event.details = audit::Details().add("login", who.principal.login).add("wish", required ? "require" : "auto").text();
  log::warn("a session is not traced in the kernel", {{"session", who.session_id}, {"error", starting.error()}});
  context.store({std::move(event)});
  if (!required) return launch(request);
  return fail(ErrorCode::kFailedPrecondition,
              "the session can't be followed in the kernel, which this node requires: {}", starting.error().message);
}

}  // namespace mezite::agent
