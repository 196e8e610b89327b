#include "admission.hh"

#include <pwd.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <sstream>

#include "base/file.hh"
#include "base/text.hh"
#include "ssh/keys/certificate_check.hh"

namespace mezite::interop {
namespace {

using namespace ssh;

std::vector<std::string> lines_of(const std::string& path) {
  std::vector<std::string> lines;
  const auto bytes = read_file(path);
  if (!bytes) return lines;
  std::istringstream in(to_text(*bytes));
  for (std::string line; std::getline(in, line);) {
    if (!trim(line).empty() && trim(line)[0] != '#') lines.push_back(line);
  }
  return lines;
}

// %u, %h and %% of AuthorizedKeysFile; relative to the home folder.
std::string expand(std::string_view pattern, const std::string& user) {
  const passwd* entry = ::getpwnam(user.c_str());
  const std::string home = entry ? entry->pw_dir : "/nonexistent";
  std::string path;
  for (std::size_t i = 0; i < pattern.size(); ++i) {
    if (pattern[i] != '%' || i + 1 == pattern.size()) {
      path += pattern[i];
      continue;
    }
    const char what = pattern[++i];
    path += what == 'u' ? user : what == 'h' ? home : std::string(1, what);
  }
  return path.starts_with('/') ? path : home + "/" + path;
}

std::vector<std::string> files(const SshdConfig& config, const std::string& keyword, const std::string& user) {
  std::istringstream in(config.first(keyword));
  std::vector<std::string> paths;
  for (std::string word; in >> word;) {
    if (word != "none") paths.push_back(expand(word, user));
  }
  return paths;
}

bool set_option(LineOptions& options, const std::string& name, const std::optional<std::string>& value) {
  const auto flag = [&](std::string_view wanted, bool LineOptions::* member) {
    if (name == wanted || name == "no-" + std::string(wanted)) {
      options.*member = name == wanted;
      return true;
    }
    return false;
  };
  if (flag("pty", &LineOptions::pty) || flag("port-forwarding", &LineOptions::port_forwarding) ||
      flag("agent-forwarding", &LineOptions::agent_forwarding) ||
      flag("x11-forwarding", &LineOptions::x11_forwarding)) {
    return true;
  }
  if (name == "restrict") {
    options.pty = options.port_forwarding = options.agent_forwarding = options.x11_forwarding = false;
  } else if (name == "cert-authority") {
    options.certificate_authority = true;
  } else if (name == "command" && value) {
    options.command = value;
  } else if (name == "principals" && value) {
    options.principals = value;
  } else if (name == "from" && value) {
    options.from = value;
  } else if (name == "expiry-time" && value) {
    tm parts{};
    const char* rest = ::strptime(value->c_str(), value->size() > 8 ? "%Y%m%d%H%M" : "%Y%m%d", &parts);
    parts.tm_isdst = -1;
    options.expired = !rest || ::mktime(&parts) <= ::time(nullptr);
  } else {
    return name == "user-rc" || name == "no-user-rc";
  }
  return true;
}

// A plain list of keys, or a KRL, which ssh-keygen reads for us. A file that can't be read revokes everything.
bool is_revoked(const std::string& path, const AuthRequest& request) {
  const auto bytes = read_file(path);
  if (!bytes) return true;
  if (!to_text(*bytes).starts_with("SSHKRL")) {
    for (const std::string& line : lines_of(path)) {
      if (const auto certificate = Certificate::from_text(line); certificate) {
        if (certificate->public_key() == *request.key) return true;
      }
      const auto key = PublicKey::from_text(line);
      if (key && (*key == *request.key || (request.certificate && *key == request.certificate->signature_key())))
        return true;
    }
    return false;
  }
  char name[] = "/tmp/mezite-regress-XXXXXX";
  const int fd = ::mkstemp(name);
  if (fd < 0) return true;
  ::close(fd);
  const std::string text = request.certificate ? std::string(certificate_key_name(request.key->type())) + " " +
                                                     to_base64(request.certificate->wire())
                                               : request.key->to_text();
  bool revoked = true;
  if (write_file(name, as_bytes(text + "\n"))) {
    const int status = ::system(("ssh-keygen -Qf '" + path + "' '" + name + "' >/dev/null 2>&1").c_str());
    revoked = !(WIFEXITED(status) && WEXITSTATUS(status) == 0);
  }
  ::unlink(name);
  return revoked;
}

// sshd(8), from=: patterns and CIDR lists.
bool from_fits(const LineOptions& options, std::string_view address) {
  if (!options.from || list_match(*options.from, address)) return true;
  return std::ranges::any_of(split(*options.from, ','), [&](std::string_view entry) {
    return entry.find('/') != std::string_view::npos && match_source_address(entry, address).value_or(false);
  });
}

bool certificate_is_good(const AuthRequest& request, std::optional<std::string_view> principal) {
  const std::vector<PublicKey> cas{request.certificate->signature_key()};
  return verify_certificate(*request.certificate, {.type = CertificateType::kUser,
                                                   .trusted_cas = cas,
                                                   .now = system_clock().now(),
                                                   .principal = principal,
                                                   .source_address = "127.0.0.1"})
      .has_value();
}

// By a list of principals: any of them in the certificate.
bool has_one_of(const AuthRequest& request, std::string_view list) {
  return std::ranges::any_of(split(list, ','),
                             [&](std::string_view name) { return certificate_is_good(request, name); });
}

// What certificate and line say together; two different commands contradict each other.
std::optional<LineOptions> with_certificate(LineOptions options, const Certificate& certificate) {
  const auto permits = [&](std::string_view name) { return certificate.find_extension(name) != nullptr; };
  options.pty &= permits("permit-pty");
  options.port_forwarding &= permits("permit-port-forwarding");
  options.agent_forwarding &= permits("permit-agent-forwarding");
  options.x11_forwarding &= permits("permit-X11-forwarding");
  if (const Bytes* value = certificate.find_critical_option("force-command")) {
    const auto command = option_text(*value);
    if (!command || (options.command && *options.command != *command)) return std::nullopt;
    options.command = *command;
  }
  return options;
}

std::optional<LineOptions> admit_by_ca_file(const SshdConfig& config, const AuthRequest& request,
                                            std::string_view address) {
  const auto cas = lines_of(config.first("TrustedUserCAKeys"));
  const bool trusted = std::ranges::any_of(cas, [&](const std::string& line) {
    const auto key = PublicKey::from_text(line);
    return key && *key == request.certificate->signature_key();
  });
  if (!trusted) return std::nullopt;
  const auto principals_files = files(config, "AuthorizedPrincipalsFile", request.user);
  if (principals_files.empty()) {
    if (!certificate_is_good(request, request.user)) return std::nullopt;
    return with_certificate({}, *request.certificate);
  }
  for (const std::string& path : principals_files) {
    for (const std::string& line : lines_of(path)) {
      const auto parsed = parse_line(line, false);
      if (parsed && from_fits(parsed->options, address) && certificate_is_good(request, parsed->rest)) {
        return with_certificate(parsed->options, *request.certificate);
      }
    }
  }
  return std::nullopt;
}

std::optional<LineOptions> admit_by_line(const AuthRequest& request, const std::string& line,
                                         std::string_view address) {
  const auto parsed = parse_line(line, true);
  if (!parsed || parsed->options.expired || !from_fits(parsed->options, address)) return std::nullopt;
  const auto key = PublicKey::from_text(parsed->rest);
  if (!key) return std::nullopt;
  if (!request.certificate) {
    if (parsed->options.certificate_authority || *key != *request.key) return std::nullopt;
    return parsed->options;
  }
  if (!parsed->options.certificate_authority || *key != request.certificate->signature_key()) return std::nullopt;
  if (!has_one_of(request, parsed->options.principals.value_or(request.user))) return std::nullopt;
  return with_certificate(parsed->options, *request.certificate);
}

bool user_is_allowed(const SshdConfig& config, const std::string& user) {
  const auto among = [&](const std::string& keyword) {
    bool found = false;
    for (const std::string& value : config.all(keyword)) {
      std::istringstream in(value);
      for (std::string word; in >> word;) found = found || glob_match(word.substr(0, word.find('@')), user);
    }
    return found;
  };
  return !among("DenyUsers") && (config.all("AllowUsers").empty() || among("AllowUsers"));
}

}  // namespace

std::optional<OptionedLine> parse_line(std::string_view line, bool key_follows) {
  line = trim(line);
  OptionedLine parsed;
  if (key_follows && PublicKey::from_text(line)) {
    parsed.rest = line;
    return parsed;
  }
  // A principal stands alone when there are no options.
  if (!key_follows && line.find_first_of(" \t\"") == std::string_view::npos) {
    parsed.rest = line;
    return parsed;
  }
  std::size_t at = 0;
  while (at < line.size() && line[at] != ' ' && line[at] != '\t') {
    std::string name;
    while (at < line.size() && line[at] != ',' && line[at] != '=' && line[at] != ' ' && line[at] != '\t')
      name += line[at++];
    std::optional<std::string> value;
    if (at < line.size() && line[at] == '=') {
      if (++at >= line.size() || line[at] != '"') return std::nullopt;
      value.emplace();
      for (++at; at < line.size() && line[at] != '"'; ++at) {
        if (line[at] == '\\' && at + 1 < line.size() && line[at + 1] == '"') ++at;
        *value += line[at];
      }
      if (at++ >= line.size()) return std::nullopt;
    }
    std::ranges::transform(name, name.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    if (!set_option(parsed.options, name, value)) return std::nullopt;
    if (at < line.size() && line[at] == ',') ++at;
  }
  parsed.rest = trim(line.substr(at));
  return parsed;
}

std::optional<LineOptions> admit(const SshdConfig& config, const AuthRequest& request, std::string_view address) {
  if (!request.key || !user_is_allowed(config, request.user)) return std::nullopt;
  if (config.first("PubkeyAuthentication") == "no") return std::nullopt;
  if (config.algorithms("PubkeyAcceptedAlgorithms", {request.algorithm}).empty()) return std::nullopt;
  const std::string revoked = config.first("RevokedKeys");
  if (!revoked.empty() && revoked != "none" && is_revoked(revoked, request)) return std::nullopt;
  std::optional<LineOptions> options;
  if (request.certificate) options = admit_by_ca_file(config, request, address);
  for (const std::string& path : files(config, "AuthorizedKeysFile", request.user)) {
    for (const std::string& line : lines_of(path)) {
      if (!options) options = admit_by_line(request, line, address);
    }
  }
  std::string forced = config.first("ForceCommand");
  if (forced.starts_with("internal-sftp")) forced.replace(0, 13, "/usr/lib/openssh/sftp-server");
  if (options && !forced.empty() && forced != "none") options->command = forced;
  return options;
}

}  // namespace mezite::interop
