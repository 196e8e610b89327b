#include "agent/process/environment.hh"

#include <fmt/core.h>

#include "base/file.hh"
#include "base/text.hh"

namespace mezite::agent {
namespace {

constexpr std::size_t kMaxValueBytes = 256;

}  // namespace

bool is_accepted_variable(std::string_view name, std::string_view value) {
  if (name.size() > 64 || value.size() > kMaxValueBytes || printable(value) != value) return false;
  if (name == "LANG" || name == "TERM" || name == "COLORTERM") return true;
  if (!name.starts_with("LC_") || name.size() == 3) return false;
  for (char c : name.substr(3)) {
    if (!((c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_')) return false;
  }
  return true;
}

std::string default_path(uid_t uid, const char* login_defs) {
  std::string_view key = uid == 0 ? "ENV_SUPATH" : "ENV_PATH";
  std::string path = uid == 0 ? "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
                              : "/usr/local/bin:/usr/bin:/bin:/usr/local/games:/usr/games";
  Result<Bytes> content = read_file(login_defs, std::size_t{1} << 20);
  if (!content) return path;
  for (std::string_view line : split(as_text(*content), '\n')) {
    line = trim(line);
    if (!line.starts_with(key) || line.size() <= key.size() || (line[key.size()] != ' ' && line[key.size()] != '\t')) {
      continue;
    }
    std::string_view value = trim(line.substr(key.size()));
    if (value.starts_with("PATH=")) value.remove_prefix(5);
    if (!value.empty() && printable(value) == value) path = std::string(value);
  }
  return path;
}

std::vector<std::string> session_environment(const LoginUser& user, const SessionFacts& facts,
                                             const std::vector<Variable>& sent) {
  std::vector<std::string> environment;
  for (const Variable& variable : sent) {
    if (variable.name == "TERM" && !facts.term.empty()) continue;
    environment.push_back(fmt::format("{}={}", variable.name, variable.value));
  }
  environment.push_back("USER=" + user.name);
  environment.push_back("LOGNAME=" + user.name);
  environment.push_back("HOME=" + user.home);
  environment.push_back("SHELL=" + user.shell);
  environment.push_back("PATH=" + default_path(user.uid));
  if (!facts.term.empty()) environment.push_back("TERM=" + facts.term);
  if (!facts.tty_path.empty()) environment.push_back("SSH_TTY=" + facts.tty_path);
  environment.push_back(fmt::format("SSH_CLIENT={} {} {}", facts.client.ip, facts.client.port, facts.server.port));
  environment.push_back(fmt::format("SSH_CONNECTION={} {} {} {}", facts.client.ip, facts.client.port, facts.server.ip,
                                    facts.server.port));
  if (!facts.agent_socket.empty()) environment.push_back("SSH_AUTH_SOCK=" + facts.agent_socket);
  if (!facts.display.empty()) environment.push_back("DISPLAY=" + facts.display);
  environment.push_back("MEZITE_SESSION_ID=" + facts.session_id);
  return environment;
}

}  // namespace mezite::agent
