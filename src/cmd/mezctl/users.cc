#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "base/text.hh"
#include "client/admin_json.hh"
#include "client/terminal.hh"
#include "cmd/mezctl/commands.hh"
#include "mezite/v1/admin.pb.h"

namespace mezite::mezctl {
namespace {

using Json = nlohmann::ordered_json;

// An empty one: none was given.
Result<Secret> password_of(const Password& password) {
  if (!password.from_stdin) return Secret(password.text);
  MEZ_TRY(Secret read, client::read_secret_line(0));
  if (read.empty()) return fail(ErrorCode::kInvalidArgument, "--password-stdin: standard input has no password");
  return read;
}

// "logins=root,ubuntu" each; the same name twice adds up.
template <class Traits>
Status put_traits(const std::vector<std::string>& texts, Traits& traits) {
  for (const std::string& text : texts) {
    const std::size_t equals = text.find('=');
    if (equals == 0 || equals == text.npos) {
      return fail(ErrorCode::kInvalidArgument, "--traits: '{}' is not NAME=VALUE,VALUE, as in logins=root,ubuntu",
                  printable(text));
    }
    v1::Trait* trait = nullptr;
    for (v1::Trait& known : traits) {
      if (known.name() == text.substr(0, equals)) trait = &known;
    }
    if (!trait) {
      trait = traits.Add();
      trait->set_name(text.substr(0, equals));
    }
    for (const std::string_view value : split(std::string_view(text).substr(equals + 1), ',')) {
      if (!trim(value).empty()) trait->add_values(std::string(trim(value)));
    }
  }
  return {};
}

template <class Roles>
void put_roles(std::string_view text, Roles& roles) {
  for (const std::string_view name : split(text, ',')) {
    if (!trim(name).empty()) roles.Add(std::string(trim(name)));
  }
}

template <class Strings>
std::string list_of(const Strings& strings) {
  return join(std::vector<std::string>(strings.begin(), strings.end()), ", ");
}

std::string traits_of(const v1::User& user) {
  std::vector<std::string> traits;
  for (const v1::Trait& trait : user.traits()) {
    traits.push_back(trait.name() + "=" + join({trait.values().begin(), trait.values().end()}, ","));
  }
  return join(traits, " ");
}

std::string state_of(const v1::User& user) {
  if (user.locked()) return "locked";
  return user.has_password() ? "active" : "invited";
}

}  // namespace

Status login(Context& context, const LoginFlags& flags) {
  v1::LoginRequest request;
  request.set_username(flags.username);
  // The hub first: nobody types a password for one that is not there.
  MEZ_TRY(client::AdminApi api, context.connect_anonymous());
  Secret password;
  if (flags.password.text.empty() && !flags.password.from_stdin) {
    auto asked = client::ask_secret(fmt::format("Password of {}: ", printable(flags.username)));
    if (!asked) {
      return fail(ErrorCode::kInvalidArgument, "there is no terminal to ask for the password; give --password-stdin");
    }
    password = std::move(*asked);
  } else {
    MEZ_TRY(password, password_of(flags.password));
  }
  request.set_password(std::string(password.text()));
  v1::LoginResponse response;
  const Status status = api.call("Login", request, response);
  wipe(*request.mutable_password());
  MEZ_CHECK(status);
  return context.print(response.session_token() + "\n");
}

Status users_create(Context& context, const UserFlags& flags) {
  v1::CreateUserRequest request;
  request.set_name(flags.name);
  put_roles(flags.roles.value_or(""), *request.mutable_roles());
  MEZ_CHECK(put_traits(flags.traits, *request.mutable_traits()));
  MEZ_TRY(const Secret password, password_of(flags.password));
  request.set_password(std::string(password.text()));
  v1::CreateUserResponse response;
  const Status status = context.call("CreateUser", request, response);
  wipe(*request.mutable_password());
  MEZ_CHECK(status);
  if (context.format() != Format::kText) {
    Json json = client::message_to_json(response.user());
    if (!response.invite_url().empty()) {
      json["invite_url"] = response.invite_url();
      json["invite_expires_at"] = client::message_to_json(response)["invite_expires_at"];
    }
    return context.print_json(json);
  }
  if (response.invite_url().empty()) return context.print(fmt::format("user {} created\n", printable(flags.name)));
  return context.print(fmt::format(
      "user {} created; this link sets the password, once, until {}:\n{}\n", printable(flags.name),
      client::shown_time(response.invite_expires_at_ms(), context.now()), printable(response.invite_url())));
}

Status users_list(Context& context) {
  MEZ_TRY(const auto response, context.ask<v1::ListUsersResponse>("ListUsers", v1::ListUsersRequest()));
  if (context.format() != Format::kText) return context.print_json(client::message_to_json(response)["users"]);
  client::Table table({"NAME", "ROLES", "TRAITS", "STATE", "LAST LOGIN"});
  for (const v1::User& user : response.users()) {
    table.add({user.name(), list_of(user.roles()), traits_of(user), state_of(user),
               client::shown_time(user.last_login_at_ms(), context.now())});
  }
  if (table.empty()) say("no users yet; make one with 'mezctl users create NAME --roles=…'");
  return context.print(table.text(context.colour()));
}

Status users_get(Context& context, const std::string& name) {
  v1::NameRequest request;
  request.set_name(name);
  MEZ_TRY(const auto user, context.ask<v1::User>("GetUser", request));
  if (context.format() != Format::kText) return context.print_json(client::message_to_json(user));
  client::Fields fields;
  fields.add("name", user.name());
  fields.add("roles", list_of(user.roles()));
  fields.add("traits", traits_of(user));
  fields.add("state", state_of(user));
  fields.add("created", client::shown_time(user.created_at_ms(), context.now()));
  fields.add("last login", client::shown_time(user.last_login_at_ms(), context.now()));
  return context.print(fields.text());
}

Status users_update(Context& context, const UserFlags& flags) {
  if (!flags.roles && flags.traits.empty() && !flags.no_traits) {
    return fail(ErrorCode::kInvalidArgument, "nothing to change; give --roles, --traits or --no-traits");
  }
  v1::UpdateUserRequest request;
  request.set_name(flags.name);
  request.set_set_roles(flags.roles.has_value());
  put_roles(flags.roles.value_or(""), *request.mutable_roles());
  request.set_set_traits(!flags.traits.empty() || flags.no_traits);
  MEZ_CHECK(put_traits(flags.traits, *request.mutable_traits()));
  MEZ_TRY(const auto user, context.ask<v1::User>("UpdateUser", request));
  if (context.format() != Format::kText) return context.print_json(client::message_to_json(user));
  return context.print(fmt::format("user {} updated: roles {}{}\n", printable(user.name()),
                                   user.roles().empty() ? "none" : printable(list_of(user.roles())),
                                   user.traits().empty() ? "" : ", traits " + printable(traits_of(user))));
}

Status users_delete(Context& context, const std::string& name) {
  v1::NameRequest request;
  request.set_name(name);
  v1::Empty response;
  MEZ_CHECK(context.call("DeleteUser", request, response));
  return context.print(fmt::format("user {} deleted\n", printable(name)));
}

Status users_reset_password(Context& context, const UserFlags& flags) {
  v1::ResetPasswordRequest request;
  request.set_name(flags.name);
  MEZ_TRY(const Secret password, password_of(flags.password));
  request.set_password(std::string(password.text()));
  v1::ResetPasswordResponse response;
  const Status status = context.call("ResetPassword", request, response);
  wipe(*request.mutable_password());
  MEZ_CHECK(status);
  if (context.format() != Format::kText) {
    Json json{{"name", flags.name}};
    json.update(client::message_to_json(response));
    return context.print_json(json);
  }
  if (response.reset_url().empty()) return context.print(fmt::format("password of {} set\n", printable(flags.name)));
  return context.print(fmt::format("this link sets a new password for {}, once, until {}:\n{}\n", printable(flags.name),
                                   client::shown_time(response.expires_at_ms(), context.now()),
                                   printable(response.reset_url())));
}

}  // namespace mezite::mezctl
