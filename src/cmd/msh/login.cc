#include <unistd.h>

#include <algorithm>

#include "base/file.hh"
#include "base/text.hh"
#include "client/profile.hh"
#include "client/table.hh"
#include "client/terminal.hh"
#include "client/trust.hh"
#include "client/web_api.hh"
#include "cmd/msh/commands.hh"
#include "cmd/msh/session.hh"
#include "ssh/agent/agent_client.hh"

namespace mezite::msh {
namespace {

using namespace std::chrono_literals;

bool ask_about_hub(const net::HostPort& proxy, const std::string& ca_pin) {
  const std::string question = fmt::format(
      "The certificate of {} is not signed by a public authority.\n"
      "Its CA has the fingerprint\n\n    {}\n\n"
      "Compare it with what `mezctl ca status` prints on the hub. Is it the same (yes/no)? ",
      proxy.text(), ca_pin);
  for (;;) {
    const auto answer = client::ask_line(question);
    if (!answer) return false;
    const auto word = trim(*answer);
    if (word == "yes") return true;
    if (word == "no" || word.empty()) return false;
  }
}

Result<Secret> get_password(LoginOptions& options, const std::string& user, const std::string& proxy) {
  if (options.password_given) {
    Secret password{std::string_view(options.password)};
    wipe(options.password);
    return password;
  }
  auto password = client::ask_secret(fmt::format("Password of {} at {}: ", user, proxy));
  if (password) return password;
  // No terminal: a script may have it on standard input.
  auto line = client::read_secret_line(STDIN_FILENO);
  if (line && !line->empty()) return line;
  return fail(ErrorCode::kInvalidArgument,
              "no password: there is no terminal to ask on; write it to standard input or pass --password");
}

// The certificate is ours to use: for the key just made, and of the kind asked for.
Result<ssh::Certificate> check_certificate(const client::LoginAnswer& answer, const ssh::PrivateKey& key) {
  MEZ_TRY(auto certificate, ssh::Certificate::from_text(answer.certificate));
  if (!(certificate.public_key() == key.public_key()) || certificate.type() != ssh::CertificateType::kUser) {
    return fail(ErrorCode::kProtocol, "the hub issued a certificate for something else than was asked for");
  }
  return certificate;
}

void forget_in_agent(const client::Home& home, const client::Profile& profile) {
  const auto identity = client::read_identity(home.identity(profile));
  auto agent = ssh::AgentClient::from_environment();
  if (identity && agent) (void)agent->remove(identity->certificate.wire());
}

void add_to_agent(const ssh::PrivateKey& key, const ssh::Certificate& certificate, const client::Profile& profile) {
  auto agent = ssh::AgentClient::from_environment();
  if (!agent) return;
  const auto left = std::chrono::ceil<std::chrono::seconds>(profile.expires_at - system_clock().now());
  const auto comment = fmt::format("mezite:{}:{}", profile.cluster, profile.user);
  if (auto added = agent->add(key, &certificate, comment, std::max(left, 1s)); !added) {
    note(fmt::format("the certificate was not put into ssh-agent: {}", added.error().message));
  }
}

void warn_about_clock(const ssh::Certificate& certificate) {
  const auto now = to_unix_seconds(system_clock().now());
  if (now >= 0 && static_cast<std::uint64_t>(now) < certificate.valid_after()) {
    note("warning: this machine's clock is behind the hub's; the certificate is not valid yet here");
  }
}

}  // namespace

Result<int> login(LoginOptions options) {
  MEZ_TRY(const auto home, client::Home::from_environment());
  const auto last = home.current();
  if (options.proxy.empty()) {
    if (!last)
      return fail(ErrorCode::kInvalidArgument,
                  "--proxy is missing: which hub? e.g. `msh login --proxy=hub.example:3080`");
    options.proxy = last->proxy;
  }
  MEZ_TRY(const auto proxy, parse_proxy(options.proxy));
  if (options.ttl <= 0s) return fail(ErrorCode::kInvalidArgument, "--ttl must be longer than nothing, e.g. --ttl=30m");
  if (options.ttl > 24h) note("a login lasts 24h at most; --ttl is shortened to that");

  const auto known = home.find(proxy.text());
  client::TrustRequest trust_request{
      .proxy = proxy, .ca_pin = options.ca_pin, .insecure = options.insecure, .known = known ? &*known : nullptr};
  if (client::is_terminal(STDIN_FILENO) && client::is_terminal(STDERR_FILENO)) {
    trust_request.ask = [&proxy](const std::string& pin) { return ask_about_hub(proxy, pin); };
  }
  const auto with_hint = [](Error error) {
    if (error.code == ErrorCode::kUnavailable)
      error.message += "; is mezhub running there, and is --proxy its web address?";
    return std::unexpected(std::move(error));
  };
  const auto decided = client::decide_trust(trust_request);
  if (!decided) return with_hint(decided.error());
  const client::TrustChoice& trust = *decided;
  if (trust.mode == client::TrustMode::kInsecure) {
    note("warning: --insecure: anyone on the way can read the password and pose as the hub");
  }

  client::WebApi api(proxy, trust.policy());
  if (const auto ping = api.ping(); !ping) return with_hint(ping.error());  // before a password is asked for
  std::string user = options.user;
  if (user.empty()) user = known && !known->user.empty() ? known->user : local_user();
  MEZ_TRY(const Secret password, get_password(options, user, proxy.text()));
  MEZ_TRY(const auto key, ssh::PrivateKey::generate(ssh::KeyType::kEd25519));
  MEZ_TRY(const auto answer, api.login({.user = user,
                                        .password = password.text(),
                                        .ssh_public_key = key.public_key().to_text(),
                                        .ttl = std::min<std::chrono::seconds>(options.ttl, 24h)}));
  MEZ_TRY(const auto certificate, check_certificate(answer, key));
  MEZ_CHECK(client::parse_key_lines(answer.host_cas));
  warn_about_clock(certificate);

  client::Profile profile{
      .proxy = proxy.text(),
      .trust = trust.mode,
      .ca_pin = trust.ca_pin,
      .user = answer.user.empty() ? user : answer.user,
      .cluster = answer.cluster,
      .ssh_addr = answer.ssh_addr.empty() ? net::HostPort{proxy.host, 3023}.text() : answer.ssh_addr,
      .session_token = answer.session_token,
      .expires_at = answer.expires_at,
      .roles = answer.roles,
      .logins = answer.logins,
      .host_cas = answer.host_cas};
  client::take_over(api.trust(), profile);
  if (!options.out.empty()) {
    if (auto written = client::write_identity(client::IdentityFiles(options.out), key, certificate); !written) {
      return wrap(std::move(written).error(), fmt::format("--out={}", options.out));
    }
  }
  if (known) forget_in_agent(home, *known);
  MEZ_CHECK(make_directories(home.folder(), 0700));
  MEZ_CHECK(home.save(profile));
  MEZ_CHECK(client::write_identity(home.identity(profile), key, certificate));
  if (!options.no_agent) add_to_agent(key, certificate, profile);
  client::Fields fields;
  fields.add("Logged in as", profile.user);
  fields.add("Cluster", profile.cluster);
  fields.add("Roles", join(profile.roles, ", "));
  fields.add("Logins", join(profile.logins, ", "));
  fields.add("Valid until", client::shown_time(to_unix_millis(profile.expires_at), system_clock().now()));
  print(fields.text());
  if (!options.out.empty()) print(fmt::format("Identity written to {0}, {0}.pub and {0}-cert.pub\n", options.out));
  return 0;
}

Result<int> logout(const std::string& proxy, bool all) {
  MEZ_TRY(const auto home, client::Home::from_environment());
  std::vector<client::Profile> profiles;
  if (all) {
    MEZ_TRY(profiles, home.all());
  } else {
    MEZ_TRY(auto profile, find_profile(home, proxy));
    profiles.push_back(std::move(profile));
  }
  for (const auto& profile : profiles) {
    if (profile.session_token.empty()) continue;
    forget_in_agent(home, profile);
    if (auto target = parse_proxy(profile.proxy); target && !profile.expired(system_clock().now())) {
      client::WebApi api(*target, client::trust_of(profile).policy());
      api.set_token(profile.session_token);
      if (auto ended = api.logout(); !ended) {
        note(fmt::format("the session could not be ended at the hub and lasts until {}: {}",
                         to_rfc3339(profile.expires_at), ended.error().message));
      }
    }
    MEZ_CHECK(home.forget(profile));
    print(fmt::format("Logged out of {}\n", printable(profile.cluster.empty() ? profile.proxy : profile.cluster)));
  }
  return 0;
}

}  // namespace mezite::msh
