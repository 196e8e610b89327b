// sshd's rules of admission as far as the regress suite tests them: authorized_keys, CAs, principals files, revoked
// keys.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "ssh/userauth/auth.hh"
#include "sshd_config.hh"

namespace mezite::interop {

// What a line of authorized_keys or of a principals file takes away or adds.
struct LineOptions {
  bool certificate_authority = false;
  bool pty = true, port_forwarding = true, agent_forwarding = true, x11_forwarding = true;
  std::optional<std::string> command, principals, from;
  bool expired = false;
};

// The options in front of a key or principal, and what follows them. Nothing: malformed.
struct OptionedLine {
  LineOptions options;
  std::string rest;
};
std::optional<OptionedLine> parse_line(std::string_view line, bool key_follows);

// The restrictions that a user at this address is let in with; nothing: refused.
std::optional<LineOptions> admit(const SshdConfig& config, const ssh::AuthRequest& request, std::string_view address);

}  // namespace mezite::interop
