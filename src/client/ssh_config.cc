#include "client/ssh_config.hh"

#include <algorithm>

#include "base/text.hh"
#include "net/address.hh"

namespace mezite::client {
namespace {

// Host names, user names: nothing that quotes, matches, expands or starts a line.
Status check_word(std::string_view what, std::string_view text) {
  const auto legal = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '.' ||
           c == '_' || c == ':' || c == '@' || c == '+';
  };
  if (!text.empty() && text[0] != '-' && std::ranges::all_of(text, legal)) return {};
  return fail(ErrorCode::kInvalidArgument, "the {} '{}' cannot be written into an ssh_config", what, printable(text));
}

// A path in double quotes; ssh has no escape for a quote in it, and expands '%' and a leading '~'.
Result<std::string> quote_path(const std::filesystem::path& path) {
  std::string out = "\"";
  for (const char c : path.string()) {
    if (c == '"' || static_cast<unsigned char>(c) < 0x20 || c == '$') {
      return fail(ErrorCode::kInvalidArgument,
                  "the path '{}' cannot be written into an ssh_config; set MSH_HOME to another folder",
                  printable(path.string()));
    }
    if (c == '%') out += '%';
    out += c;
  }
  return out + "\"";
}

}  // namespace

Result<std::string> make_ssh_config(const Profile& profile, const SshConfigPaths& paths) {
  MEZ_TRY(const auto hub, net::parse_host_port(profile.ssh_addr, 3023));
  MEZ_CHECK(check_word("cluster name", profile.cluster));
  MEZ_CHECK(check_word("host name", hub.host));
  MEZ_CHECK(check_word("user name", profile.user));
  MEZ_TRY(const std::string key, quote_path(paths.key));
  MEZ_TRY(const std::string certificate, quote_path(paths.certificate));
  MEZ_TRY(const std::string known_hosts, quote_path(paths.known_hosts));
  const std::string common = fmt::format(
      "    IdentityFile {}\n"
      "    CertificateFile {}\n"
      "    IdentitiesOnly yes\n"
      "    UserKnownHostsFile {}\n"
      "    StrictHostKeyChecking yes\n",
      key, certificate, known_hosts);
  return fmt::format(
      "# Mezite cluster {0}, made by `msh config`.\n"
      "Host mezite-hub-{0}\n"
      "    HostName {1}\n"
      "    Port {2}\n"
      "    User {3}\n"
      "    HostKeyAlias {0}\n"
      "    ForwardAgent no\n"
      "    ForwardX11 no\n"
      "{4}"
      "\n"
      "Host *.{0}\n"
      "    ProxyJump mezite-hub-{0}\n"
      "{4}",
      profile.cluster, hub.host, hub.port, profile.user, common);
}

}  // namespace mezite::client
