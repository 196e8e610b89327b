#include "client/target.hh"

#include <algorithm>
#include <array>

#include "base/text.hh"

namespace mezite::client {
namespace {

// ssh_config(5) of OpenSSH 9, without those of sshd.
constexpr std::array<std::string_view, 98> kKnownOptions = {"AddKeysToAgent",
                                                            "AddressFamily",
                                                            "BatchMode",
                                                            "BindAddress",
                                                            "BindInterface",
                                                            "CanonicalDomains",
                                                            "CanonicalizeFallbackLocal",
                                                            "CanonicalizeHostname",
                                                            "CanonicalizeMaxDots",
                                                            "CanonicalizePermittedCNAMEs",
                                                            "CASignatureAlgorithms",
                                                            "CertificateFile",
                                                            "ChannelTimeout",
                                                            "CheckHostIP",
                                                            "Ciphers",
                                                            "ClearAllForwardings",
                                                            "Compression",
                                                            "ConnectionAttempts",
                                                            "ConnectTimeout",
                                                            "ControlMaster",
                                                            "ControlPath",
                                                            "ControlPersist",
                                                            "DynamicForward",
                                                            "EnableEscapeCommandline",
                                                            "EnableSSHKeysign",
                                                            "EscapeChar",
                                                            "ExitOnForwardFailure",
                                                            "FingerprintHash",
                                                            "ForkAfterAuthentication",
                                                            "ForwardAgent",
                                                            "ForwardX11",
                                                            "ForwardX11Timeout",
                                                            "ForwardX11Trusted",
                                                            "GatewayPorts",
                                                            "GlobalKnownHostsFile",
                                                            "GSSAPIAuthentication",
                                                            "GSSAPIDelegateCredentials",
                                                            "HashKnownHosts",
                                                            "HostbasedAcceptedAlgorithms",
                                                            "HostbasedAuthentication",
                                                            "HostKeyAlgorithms",
                                                            "HostKeyAlias",
                                                            "HostName",
                                                            "IdentitiesOnly",
                                                            "IdentityAgent",
                                                            "IdentityFile",
                                                            "IgnoreUnknown",
                                                            "Include",
                                                            "IPQoS",
                                                            "KbdInteractiveAuthentication",
                                                            "KbdInteractiveDevices",
                                                            "KexAlgorithms",
                                                            "KnownHostsCommand",
                                                            "LocalCommand",
                                                            "LocalForward",
                                                            "LogLevel",
                                                            "LogVerbose",
                                                            "MACs",
                                                            "NoHostAuthenticationForLocalhost",
                                                            "NumberOfPasswordPrompts",
                                                            "ObscureKeystrokeTiming",
                                                            "PasswordAuthentication",
                                                            "PermitLocalCommand",
                                                            "PermitRemoteOpen",
                                                            "PKCS11Provider",
                                                            "Port",
                                                            "PreferredAuthentications",
                                                            "ProxyCommand",
                                                            "ProxyJump",
                                                            "ProxyUseFdpass",
                                                            "PubkeyAcceptedAlgorithms",
                                                            "PubkeyAuthentication",
                                                            "RekeyLimit",
                                                            "RemoteCommand",
                                                            "RemoteForward",
                                                            "RequestTTY",
                                                            "RequiredRSASize",
                                                            "RevokedHostKeys",
                                                            "SecurityKeyProvider",
                                                            "SendEnv",
                                                            "ServerAliveCountMax",
                                                            "ServerAliveInterval",
                                                            "SessionType",
                                                            "SetEnv",
                                                            "StdinNull",
                                                            "StreamLocalBindMask",
                                                            "StreamLocalBindUnlink",
                                                            "StrictHostKeyChecking",
                                                            "SyslogFacility",
                                                            "Tag",
                                                            "TCPKeepAlive",
                                                            "Tunnel",
                                                            "TunnelDevice",
                                                            "UpdateHostKeys",
                                                            "User",
                                                            "UserKnownHostsFile",
                                                            "VerifyHostKeyDNS",
                                                            "VisualHostKey"};

bool equal_ignoring_case(std::string_view a, std::string_view b) {
  const auto low = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; };
  return std::ranges::equal(a, b, {}, low, low);
}

}  // namespace

Result<Target> parse_target(std::string_view text) {
  const std::size_t at = text.rfind('@');
  Target target;
  if (at != std::string_view::npos) target.login = text.substr(0, at);
  target.node = at == std::string_view::npos ? text : text.substr(at + 1);
  const auto fine = [](std::string_view name) {
    return !name.empty() && name.size() <= 253 && name[0] != '-' && printable(name) == name &&
           name.find_first_of(" \t") == std::string_view::npos;
  };
  if (!fine(target.node) || (at != std::string_view::npos && !fine(target.login))) {
    return fail(ErrorCode::kInvalidArgument, "'{}' is not a node; expected NODE or LOGIN@NODE, as `msh ls` shows them",
                printable(text));
  }
  return target;
}

Result<std::string> choose_login(std::string_view asked, const std::vector<std::string>& allowed,
                                 std::string_view local_user) {
  if (!asked.empty()) return std::string(asked);
  if (std::ranges::find(allowed, local_user) != allowed.end()) return std::string(local_user);
  if (allowed.size() == 1) return allowed.front();
  if (allowed.empty()) {
    return fail(ErrorCode::kPermissionDenied,
                "your roles allow no login on any node; ask an administrator for a role that does");
  }
  return fail(ErrorCode::kInvalidArgument, "say which login to use: LOGIN@NODE, with one of {}",
              printable(join(allowed, ", ")));
}

Result<SshOption> parse_ssh_option(std::string_view text) {
  const std::size_t end = text.find_first_of("= \t");
  const std::string_view key = text.substr(0, end);
  std::string_view value = end == std::string_view::npos ? std::string_view() : trim(text.substr(end));
  if (value.starts_with('=')) value = trim(value.substr(1));
  for (const std::string_view known : kKnownOptions) {
    if (!equal_ignoring_case(known, key)) continue;
    if (value.empty()) return fail(ErrorCode::kInvalidArgument, "-o {}: a value is missing", known);
    return SshOption{std::string(known), std::string(value)};
  }
  return fail(ErrorCode::kInvalidArgument, "-o {}: no such option of ssh_config(5)", printable(key.substr(0, 64)));
}

SshArguments split_ssh_arguments(const std::vector<std::string>& args) {
  constexpr std::string_view kShortWithValue = "lopLRDiFeEbcmQSwWIJ";
  constexpr std::array<std::string_view, 3> kLongWithValue = {"--login", "--proxy", "--mfa-code"};
  SshArguments out;
  std::size_t i = 0;
  for (; i < args.size(); ++i) {
    const std::string& arg = args[i];
    if (arg == "--") {
      ++i;
      break;
    }
    if (arg.size() < 2 || arg[0] != '-') {
      if (!out.target.empty()) break;
      out.target = arg;
      continue;
    }
    out.options.push_back(arg);
    // The value may be the next word: "--login x", "-l x", "-Tl x"; or not: "--login=x", "-lx".
    bool value_follows = std::ranges::find(kLongWithValue, arg) != kLongWithValue.end();
    if (arg[1] != '-') {
      const std::size_t first = arg.find_first_of(kShortWithValue, 1);
      value_follows = first != std::string::npos && first + 1 == arg.size();
    }
    if (value_follows && i + 1 < args.size()) out.options.push_back(args[++i]);
  }
  if (out.target.empty() && i < args.size()) out.target = args[i++];
  out.command.assign(args.begin() + static_cast<std::ptrdiff_t>(std::min(i, args.size())), args.end());
  return out;
}

}  // namespace mezite::client
