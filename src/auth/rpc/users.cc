#include "auth/record.hh"
#include "auth/rpc/handlers.hh"
#include "auth/use/login.hh"
#include "base/text.hh"

namespace mezite::auth::rpc {
namespace {

std::int64_t millis(const std::optional<SystemTime>& time) { return time ? to_unix_millis(*time) : 0; }

void put(const identity::User& user, v1::User& out) {
  out.set_name(user.name);
  for (const std::string& role : user.roles) out.add_roles(role);
  for (const auto& [name, values] : user.traits) {
    v1::Trait* trait = out.add_traits();
    trait->set_name(name);
    for (const std::string& value : values) trait->add_values(value);
  }
  out.set_locked(user.locked);
  out.set_has_password(user.has_password);
  out.set_created_at_ms(to_unix_millis(user.created_at));
  out.set_last_login_at_ms(millis(user.last_login_at));
}

template <class Traits>
access::Traits traits_of(const Traits& traits) {
  access::Traits result;
  for (const v1::Trait& trait : traits) {
    std::vector<std::string>& values = result[trait.name()];
    values.insert(values.end(), trait.values().begin(), trait.values().end());
  }
  return result;
}

audit::Event user_event(const Services& services, const Call& call, audit::EventKind kind, const std::string& user) {
  audit::Event event = event_by(services, call.caller, kind);
  event.resource_type = "user";
  event.resource_name = user;
  return event;
}

Status check_password(std::string_view password) {
  if (password.size() < identity::kMinPasswordBytes || password.size() > identity::kMaxPasswordBytes) {
    return fail(ErrorCode::kInvalidArgument, "a password has {} to {} characters; choose another",
                identity::kMinPasswordBytes, identity::kMaxPasswordBytes);
  }
  return {};
}

constexpr std::string_view kDeleted = "the user was deleted";

// A deleted user's certificates live on for a while; this lock, which agents know of, does not let them be used.
Status lock_certificates_of(Services& services, const Call& call, const std::string& user) {
  identity::NewLock lock{
      .kind = "user", .name = user, .message = std::string(kDeleted), .created_by = call.caller.name};
  lock.expires_at = services.clock.now() + pki::kMaxUserTtl;
  MEZ_TRY(identity::Lock made, services.identity->locks.create(lock));
  audit::Event event = event_by(services, call.caller, audit::EventKind::kLockCreated);
  event.resource_type = "lock";
  event.resource_name = made.id;
  event.details = audit::Details().add("kind", made.kind).add("name", made.name).add("message", made.message).text();
  return record(services, event);
}

// Somebody new gets the name: the lock of the one who had it goes.
Status unlock_name(Services& services, const Call& call, const std::string& user) {
  MEZ_TRY(std::vector<identity::Lock> locks, services.identity->locks.active());
  for (const identity::Lock& lock : locks) {
    if (lock.kind != "user" || lock.name != user || lock.message != kDeleted) continue;
    MEZ_CHECK(services.identity->locks.remove(lock.id));
    audit::Event event = event_by(services, call.caller, audit::EventKind::kLockDeleted);
    event.resource_type = "lock";
    event.resource_name = lock.id;
    event.details = audit::Details().add("kind", lock.kind).add("name", lock.name).text();
    MEZ_CHECK(record(services, event));
    services.announce_revision();
  }
  return {};
}

}  // namespace

Status login_user(Services& services, const Call& call, const v1::LoginRequest& request, v1::LoginResponse& response) {
  MEZ_TRY(identity::NewSession session,
          login(services, {request.username(), request.password(), call.caller.client_ip, "mezctl"}));
  response.set_session_token(session.token);
  response.set_expires_at_ms(to_unix_millis(session.expires_at));
  return {};
}

Status create_user(Services& services, const Call& call, const v1::CreateUserRequest& request,
                   v1::CreateUserResponse& response) {
  if (!request.password().empty()) MEZ_CHECK(check_password(request.password()));
  identity::NewUser user{request.name(), {request.roles().begin(), request.roles().end()}, traits_of(request.traits())};
  MEZ_TRY(identity::User created, services.identity->users.create(user));
  audit::Event event = user_event(services, call, audit::EventKind::kUserCreated, created.name);
  event.details = audit::Details().add("roles", created.roles).text();
  MEZ_CHECK(record(services, event));
  MEZ_CHECK(unlock_name(services, call, created.name));
  if (!request.password().empty()) {
    MEZ_CHECK(services.identity->passwords.set(created.name, request.password()));
  } else {
    MEZ_TRY(identity::Invite invite, services.identity->invites.create(created.name, identity::InvitePurpose::kInvite));
    response.set_invite_url(invite_url(services, invite.secret));
    response.set_invite_expires_at_ms(to_unix_millis(invite.expires_at));
  }
  MEZ_TRY(created, services.identity->users.get(created.name));
  put(created, *response.mutable_user());
  return {};
}

Status list_users(Services& services, const Call&, const v1::ListUsersRequest&, v1::ListUsersResponse& response) {
  MEZ_TRY(std::vector<identity::User> users, services.identity->users.list());
  for (const identity::User& user : users) put(user, *response.add_users());
  return {};
}

Status get_user(Services& services, const Call&, const v1::NameRequest& request, v1::User& response) {
  MEZ_TRY(identity::User user, services.identity->users.get(request.name()));
  put(user, response);
  return {};
}

Status update_user(Services& services, const Call& call, const v1::UpdateUserRequest& request, v1::User& response) {
  identity::UserChange change;
  if (request.set_roles()) change.roles.emplace(request.roles().begin(), request.roles().end());
  if (request.set_traits()) change.traits = traits_of(request.traits());
  if (!change.roles && !change.traits) {
    return fail(ErrorCode::kInvalidArgument, "nothing to change; give --roles or --traits");
  }
  MEZ_TRY(identity::User user, services.identity->users.update(request.name(), change));
  audit::Event event = user_event(services, call, audit::EventKind::kUserUpdated, user.name);
  event.details = audit::Details().add("roles", user.roles).add("traits_changed", change.traits.has_value()).text();
  MEZ_CHECK(record(services, event));
  services.announce_revision();
  put(user, response);
  return {};
}

Status delete_user(Services& services, const Call& call, const v1::NameRequest& request, v1::Empty&) {
  MEZ_CHECK(services.identity->users.remove(request.name()));
  MEZ_CHECK(lock_certificates_of(services, call, request.name()));
  services.announce_revision();
  return record(services, user_event(services, call, audit::EventKind::kUserDeleted, request.name()));
}

Status reset_password(Services& services, const Call& call, const v1::ResetPasswordRequest& request,
                      v1::ResetPasswordResponse& response) {
  MEZ_TRY(identity::User user, services.identity->users.get(request.name()));
  if (!request.password().empty()) {
    MEZ_CHECK(check_password(request.password()));
    MEZ_CHECK(services.identity->passwords.set(user.name, request.password()));
  } else {
    MEZ_TRY(identity::Invite reset, services.identity->invites.create(user.name, identity::InvitePurpose::kReset));
    response.set_reset_url(invite_url(services, reset.secret));
    response.set_expires_at_ms(to_unix_millis(reset.expires_at));
    MEZ_CHECK(services.identity->passwords.unlock(user.name));
  }
  return record(services, user_event(services, call, audit::EventKind::kUserPasswordReset, user.name));
}

}  // namespace mezite::auth::rpc
