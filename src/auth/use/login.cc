#include "auth/use/login.hh"

#include "auth/record.hh"
#include "base/text.hh"

namespace mezite::auth {
namespace {

// What a stranger typed goes into the log, but not a megabyte of it.
constexpr std::size_t kMaxNameInLog = 256;

audit::Event attempt_event(const Services& services, const LoginAttempt& attempt, audit::EventKind kind) {
  audit::Event event = audit::make_event(kind, services.clock);
  event.user_name = std::string(attempt.user.substr(0, kMaxNameInLog));
  event.client_ip = std::string(attempt.client_ip);
  event.details = audit::Details().add("method", "password").add("via", attempt.via).text();
  return event;
}

}  // namespace

Result<identity::NewSession> login(Services& services, const LoginAttempt& attempt) {
  MEZ_TRY(identity::PasswordCheck check, services.identity->passwords.verify(attempt.user, attempt.password));
  if (!check.good()) {
    audit::Event event = attempt_event(services, attempt, audit::EventKind::kUserLoginFailed);
    event.error_message = std::string(identity::to_text(check.outcome));
    MEZ_CHECK(record(services, event));
    if (check.locked_out_now) {
      MEZ_CHECK(record(services, attempt_event(services, attempt, audit::EventKind::kUserLockedOut)));
    }
    if (check.outcome == identity::PasswordOutcome::kBusy) {
      return fail(ErrorCode::kResourceExhausted, "too many logins at once; try again in a few seconds");
    }
    return fail(ErrorCode::kUnauthenticated, "{}", identity::kLoginRefused);
  }
  MEZ_TRY(identity::NewSession session, services.identity->sessions.create(attempt.user, attempt.client_ip));
  audit::Event event = attempt_event(services, attempt, audit::EventKind::kUserLogin);
  if (auto user = services.identity->users.get(attempt.user)) event.user_roles = user->roles;
  if (Status stored = record(services, event); !stored) {
    [[maybe_unused]] Status revoked = services.identity->sessions.revoke(session.token);
    return std::unexpected(stored.error());
  }
  return session;
}

Status logout(Services& services, const Caller& caller, std::string_view session_token) {
  MEZ_CHECK(services.identity->sessions.revoke(session_token));
  return record(services, event_by(services, caller, audit::EventKind::kUserLogout));
}

std::string invite_url(const Services& services, std::string_view secret) {
  return fmt::format("https://{}/invite/{}", services.config.proxy.public_addr.text(), secret);
}

Result<std::string> redeem_invite(Services& services, std::string_view secret, std::string_view new_password,
                                  std::string_view client_ip) {
  MEZ_TRY(std::string user, services.identity->invites.redeem(secret, new_password));
  audit::Event event = audit::make_event(audit::EventKind::kUserPasswordChanged, services.clock);
  event.user_name = user;
  event.client_ip = std::string(client_ip);
  MEZ_CHECK(record(services, event));
  return user;
}

}  // namespace mezite::auth
