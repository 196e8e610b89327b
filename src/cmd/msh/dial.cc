#include "cmd/msh/dial.hh"

#include "client/express.hh"
#include "client/terminal.hh"

namespace mezite::msh {

namespace {

// The hub's clock, to go by the certificate that it has just given, is ahead of this machine's.
Status check_clock(const Session& session) {
  const auto identity = client::read_identity(session.home.identity(session.profile));
  const auto now = to_unix_seconds(system_clock().now());
  if (!identity || now < 0 || static_cast<std::uint64_t>(now) >= identity->certificate.valid_after()) return {};
  return fail(
      ErrorCode::kUnauthenticated,
      "ssh: certificate not yet valid; this machine's clock is behind the hub's by more than a minute: set it by "
      "NTP");
}

}  // namespace

Result<Dialled> dial(const std::string& proxy, client::Target target, const std::string& login) {
  if (target.login.empty()) target.login = login;
  MEZ_TRY(auto session, open_session(proxy));
  MEZ_TRY(target.login, client::choose_login(target.login, session.profile.logins, local_user()));
  MEZ_CHECK(check_clock(session));
  MEZ_TRY(const auto ticket, session.api.dial(target.node, target.login));
  keep_trust(session);
  MEZ_TRY(const auto hub,
          net::parse_host_port(ticket.ssh_addr.empty() ? session.profile.ssh_addr : ticket.ssh_addr, 3023));
  MEZ_TRY(auto connected, client::connect_with_ticket(hub, ticket.ticket));
  return Dialled{std::move(session), std::move(target), std::move(connected)};
}

Result<Dialled> dial(const std::string& proxy, const std::string& target, const std::string& login) {
  MEZ_TRY(auto parsed, client::parse_target(target));
  return dial(proxy, std::move(parsed), login);
}

Result<ssh::Identity> identity_of(const Session& session) {
  MEZ_TRY(auto identity, client::read_identity(session.home.identity(session.profile)));
  return ssh::Identity{std::make_shared<ssh::PrivateKey>(std::move(identity.key)), std::move(identity.certificate)};
}

std::string answer_prompt(const std::string& prompt, bool echo) {
  if (echo) return client::ask_line(prompt).value_or("");
  const auto secret = client::ask_secret(prompt);
  return secret ? std::string(secret->text()) : std::string();
}

}  // namespace mezite::msh
