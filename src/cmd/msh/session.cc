#include "cmd/msh/session.hh"

#include <pwd.h>
#include <unistd.h>

#include <cstdio>

#include "client/trust.hh"

namespace mezite::msh {

Result<net::HostPort> parse_proxy(const std::string& text) {
  auto target = net::parse_host_port(text, 3080);
  if (!target || target->host.empty()) {
    return fail(ErrorCode::kInvalidArgument, "--proxy='{}': expected HOST or HOST:PORT, e.g. --proxy=hub.example:3080",
                text);
  }
  return target;
}

Result<client::Profile> find_profile(const client::Home& home, const std::string& proxy) {
  if (proxy.empty()) return home.current();
  MEZ_TRY(const auto target, parse_proxy(proxy));
  auto profile = home.find(target.text());
  if (!profile) {
    return fail(ErrorCode::kNotFound, "not logged in to {}; run `msh login --proxy={}`", target.text(), target.text());
  }
  return profile;
}

Result<Session> open_session(const std::string& proxy) {
  MEZ_TRY(auto home, client::Home::from_environment());
  MEZ_TRY(auto profile, find_profile(home, proxy));
  if (profile.session_token.empty()) {
    return fail(ErrorCode::kUnauthenticated, "not logged in to {0}; run `msh login --proxy={0}`", profile.proxy);
  }
  if (profile.expired(system_clock().now())) {
    return fail(ErrorCode::kUnauthenticated, "your session ended at {}; run `msh login --proxy={}`",
                to_rfc3339(profile.expires_at), profile.proxy);
  }
  MEZ_TRY(auto target, parse_proxy(profile.proxy));
  if (profile.trust == client::TrustMode::kInsecure) {
    note("warning: the hub's certificate is not checked, because the last login said --insecure");
  }
  client::WebApi api(std::move(target), client::trust_of(profile).policy());
  api.set_token(profile.session_token);
  return Session{std::move(home), std::move(profile), std::move(api)};
}

namespace {

// A certificate of a key that signs no more ends with the rotation: another one, for the rest of the same login.
Status follow_user_ca(Session& session) {
  MEZ_TRY(const auto signers, client::parse_key_lines(session.api.trust().user_cas));
  const client::IdentityFiles files = session.home.identity(session.profile);
  MEZ_TRY(const auto identity, client::read_identity(files));
  const auto left = std::chrono::floor<std::chrono::seconds>(session.profile.expires_at - system_clock().now());
  if (signers.empty() || identity.certificate.signature_key() == signers.front() || left < std::chrono::seconds(1)) {
    return {};
  }
  MEZ_TRY(const std::string line, session.api.renew_certificate(identity.key.public_key().to_text(), left));
  MEZ_TRY(const auto certificate, ssh::Certificate::from_text(line));
  if (!(certificate.public_key() == identity.key.public_key())) {
    return fail(ErrorCode::kProtocol, "the hub's certificate is for another key");
  }
  return client::write_identity(files, identity.key, certificate);
}

}  // namespace

void keep_trust(Session& session) {
  if (auto followed = follow_user_ca(session); !followed) {
    note("the User CA has a new key, but there is no certificate of it yet: " + followed.error().message);
  }
  if (!client::take_over(session.api.trust(), session.profile)) return;
  if (auto saved = session.home.update(session.profile); !saved) {
    note("the hub's new CA keys could not be kept: " + saved.error().message);
  }
}

std::string local_user() {
  const passwd* user = ::getpwuid(::getuid());
  return user != nullptr ? user->pw_name : "";
}

void print(std::string_view text) { std::fwrite(text.data(), 1, text.size(), stdout); }

void note(std::string_view text) {
  const std::string line = fmt::format("msh: {}\n", text);
  std::fwrite(line.data(), 1, line.size(), stderr);
}

}  // namespace mezite::msh
