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
