#include "ssh/connection/request_codec.hh"

#include <algorithm>

#include "ssh/wire/connection_messages.hh"

namespace mezite::ssh {
namespace {

constexpr std::size_t kMaxNameBytes = 256;            // channel types, requests, subsystems, terminals, variables
constexpr std::size_t kMaxHostBytes = 1024;           // OpenSSH's NI_MAXHOST
constexpr std::size_t kMaxValueBytes = 32 * 1024;     // an environment variable
constexpr std::size_t kMaxCommandBytes = 128 * 1024;  // Linux takes no longer argument (MAX_ARG_STRLEN)
constexpr std::size_t kMaxPathBytes = 107;            // sun_path and its NUL
constexpr std::size_t kMaxSignalBytes = 32;
constexpr std::size_t kMaxTextBytes = 4096;
constexpr std::size_t kMaxModes = 256;
constexpr std::uint32_t kMaxTerminalSide = 65535;  // struct winsize holds unsigned shorts

constexpr std::uint8_t kModesEnd = 0;              // TTY_OP_END
constexpr std::uint8_t kFirstUndefinedMode = 160;  // RFC 4254 §8: parsing stops here

bool is_name(std::string_view text, std::size_t limit) {
  return !text.empty() && text.size() <= limit && std::ranges::all_of(text, [](char c) { return c > ' ' && c < 0x7f; });
}
bool has_nul(std::string_view text) { return text.find('\0') != std::string_view::npos; }
bool has_control(std::string_view text) {
  return std::ranges::any_of(text, [](char c) { return (c >= 0 && c < ' ') || c == 0x7f; });
}
// What may be bound or connected to is the login user's permissions' to say; a path that climbs is refused all the
// same, so that the text in a rule or in the audit log is where the socket is.
bool is_socket_path(std::string_view path) {
  if (path.empty() || path.size() > kMaxPathBytes || has_control(path)) return false;
  for (std::size_t start = 0; start <= path.size();) {
    const std::size_t end = std::min(path.find('/', start), path.size());
    if (path.substr(start, end - start) == "..") return false;
    start = end + 1;
  }
  return true;
}
bool is_signal_name(std::string_view text) {
  return !text.empty() && text.size() <= kMaxSignalBytes && std::ranges::all_of(text, [](char c) {
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '@' || c == '.' ||
           c == '-' || c == '_';
  });
}

template <class... Args>
std::unexpected<Error> refuse(fmt::format_string<Args...> format, Args&&... args) {
  return fail(ErrorCode::kInvalidArgument, format, std::forward<Args>(args)...);
}

TerminalSize clamp(std::uint32_t columns, std::uint32_t rows, std::uint32_t width, std::uint32_t height) {
  return {std::min(columns, kMaxTerminalSide), std::min(rows, kMaxTerminalSide), std::min(width, kMaxTerminalSide),
          std::min(height, kMaxTerminalSide)};
}

Result<std::vector<TerminalMode>> parse_modes(BytesView encoded) {
  std::vector<TerminalMode> modes;
  Reader in(encoded);
  while (in.remaining() > 0) {
    const std::uint8_t opcode = in.byte();
    if (opcode == kModesEnd || opcode >= kFirstUndefinedMode) return modes;
    const std::uint32_t argument = in.u32();
    if (in.failed()) return refuse("terminal modes are cut off");
    if (modes.size() == kMaxModes) return refuse("more than {} terminal modes", kMaxModes);
    modes.push_back({opcode, argument});
  }
  return modes;  // without TTY_OP_END: some clients send none
}

template <class T>
Result<T> parse_tcpip(BytesView payload) {
  MEZ_TRY(auto part, decode<wire::DirectTcpip>(payload));  // ForwardedTcpip has the same fields
  if (part.host.empty() || part.host.size() > kMaxHostBytes || has_control(part.host)) return refuse("bad host name");
  if (part.originator.size() > kMaxHostBytes || has_control(part.originator)) return refuse("bad originator");
  if (part.port > 65535 || part.originator_port > 65535) return refuse("bad port");
  return T{std::move(part.host), part.port, std::move(part.originator), part.originator_port};
}

Status expect_empty(BytesView payload, std::string_view what) {
  if (!payload.empty()) return fail(ErrorCode::kProtocol, "{} has trailing bytes", what);
  return {};
}

Bytes modes_to_bytes(const std::vector<TerminalMode>& modes) {
  Bytes out;
  Writer writer(out);
  for (const TerminalMode& mode : modes) writer.byte(mode.opcode).u32(mode.argument);
  writer.byte(kModesEnd);
  return out;
}

struct RequestEncoder {
  Bytes operator()(const EnvRequest& r) const { return encode(wire::EnvRequest{r.name, r.value}); }
  Bytes operator()(const PtyRequest& r) const {
    return encode(wire::PtyRequest{r.term, r.size.columns, r.size.rows, r.size.width_pixels, r.size.height_pixels,
                                   modes_to_bytes(r.modes)});
  }
  Bytes operator()(const WindowChangeRequest& r) const {
    return encode(wire::WindowChangeRequest{r.size.columns, r.size.rows, r.size.width_pixels, r.size.height_pixels});
  }
  Bytes operator()(const ShellRequest&) const { return {}; }
  Bytes operator()(const ExecRequest& r) const { return encode(wire::ExecRequest{r.command}); }
  Bytes operator()(const SubsystemRequest& r) const { return encode(wire::SubsystemRequest{r.name}); }
  Bytes operator()(const SignalRequest& r) const { return encode(wire::SignalRequest{r.name}); }
  Bytes operator()(const BreakRequest& r) const {
    Bytes out;
    Writer(out).u32(r.length_ms);
    return out;
  }
  Bytes operator()(const X11Request& r) const {
    return encode(wire::X11Request{r.single_connection, r.protocol, r.cookie, r.screen});
  }
  Bytes operator()(const AgentForwardRequest&) const { return {}; }
  Bytes operator()(const ExitStatus& r) const { return encode(wire::ExitStatusRequest{r.code}); }
  Bytes operator()(const ExitSignal& r) const {
    return encode(wire::ExitSignalRequest{r.name, r.core_dumped, r.message, ""});
  }
  Bytes operator()(const OtherRequest& r) const { return r.payload; }
};

struct OpenEncoder {
  Bytes operator()(const SessionOpen&) const { return {}; }
  Bytes operator()(const DirectTcpipOpen& o) const {
    return encode(wire::DirectTcpip{o.host, o.port, o.originator_host, o.originator_port});
  }
  Bytes operator()(const ForwardedTcpipOpen& o) const {
    return encode(wire::ForwardedTcpip{o.host, o.port, o.originator_host, o.originator_port});
  }
  Bytes operator()(const DirectStreamlocalOpen& o) const { return encode(wire::DirectStreamlocal{o.path, "", 0}); }
  Bytes operator()(const ForwardedStreamlocalOpen& o) const { return encode(wire::ForwardedStreamlocal{o.path, ""}); }
  Bytes operator()(const AgentOpen&) const { return {}; }
  Bytes operator()(const X11Open& o) const { return encode(wire::X11Open{o.originator_host, o.originator_port}); }
  Bytes operator()(const OtherOpen& o) const { return o.payload; }
};

struct GlobalEncoder {
  Bytes operator()(const TcpipForwardRequest& r) const { return encode(wire::TcpipForward{r.address, r.port}); }
  Bytes operator()(const CancelTcpipForwardRequest& r) const { return encode(wire::TcpipForward{r.address, r.port}); }
  Bytes operator()(const StreamlocalForwardRequest& r) const { return encode(wire::StreamlocalForward{r.path}); }
  Bytes operator()(const CancelStreamlocalForwardRequest& r) const { return encode(wire::StreamlocalForward{r.path}); }
  Bytes operator()(const OtherGlobalRequest& r) const { return r.payload; }
};

struct RequestName {
  std::string_view operator()(const EnvRequest&) const { return "env"; }
  std::string_view operator()(const PtyRequest&) const { return "pty-req"; }
  std::string_view operator()(const WindowChangeRequest&) const { return "window-change"; }
  std::string_view operator()(const ShellRequest&) const { return "shell"; }
  std::string_view operator()(const ExecRequest&) const { return "exec"; }
  std::string_view operator()(const SubsystemRequest&) const { return "subsystem"; }
  std::string_view operator()(const SignalRequest&) const { return "signal"; }
  std::string_view operator()(const BreakRequest&) const { return "break"; }
  std::string_view operator()(const X11Request&) const { return "x11-req"; }
  std::string_view operator()(const AgentForwardRequest&) const { return "auth-agent-req@openssh.com"; }
  std::string_view operator()(const ExitStatus&) const { return "exit-status"; }
  std::string_view operator()(const ExitSignal&) const { return "exit-signal"; }
  std::string_view operator()(const OtherRequest& r) const { return r.name; }
};

struct OpenType {
  std::string_view operator()(const SessionOpen&) const { return "session"; }
  std::string_view operator()(const DirectTcpipOpen&) const { return "direct-tcpip"; }
  std::string_view operator()(const ForwardedTcpipOpen&) const { return "forwarded-tcpip"; }
  std::string_view operator()(const DirectStreamlocalOpen&) const { return "direct-streamlocal@openssh.com"; }
  std::string_view operator()(const ForwardedStreamlocalOpen&) const { return "forwarded-streamlocal@openssh.com"; }
  std::string_view operator()(const AgentOpen&) const { return "auth-agent@openssh.com"; }
  std::string_view operator()(const X11Open&) const { return "x11"; }
  std::string_view operator()(const OtherOpen& o) const { return o.type; }
};

struct GlobalName {
  std::string_view operator()(const TcpipForwardRequest&) const { return "tcpip-forward"; }
  std::string_view operator()(const CancelTcpipForwardRequest&) const { return "cancel-tcpip-forward"; }
  std::string_view operator()(const StreamlocalForwardRequest&) const { return "streamlocal-forward@openssh.com"; }
  std::string_view operator()(const CancelStreamlocalForwardRequest&) const {
    return "cancel-streamlocal-forward@openssh.com";
  }
  std::string_view operator()(const OtherGlobalRequest& r) const { return r.name; }
};

}  // namespace

std::string_view channel_type(const ChannelOpen& open) { return std::visit(OpenType{}, open); }
std::string_view request_name(const ChannelRequest& request) { return std::visit(RequestName{}, request); }
std::string_view request_name(const GlobalRequest& request) { return std::visit(GlobalName{}, request); }
Bytes encode_payload(const ChannelOpen& open) { return std::visit(OpenEncoder{}, open); }
Bytes encode_payload(const ChannelRequest& request) { return std::visit(RequestEncoder{}, request); }
Bytes encode_payload(const GlobalRequest& request) { return std::visit(GlobalEncoder{}, request); }

std::optional<std::uint32_t> forwarded_port(std::optional<BytesView> reply) {
  if (!reply) return std::nullopt;
  const auto part = decode<wire::TcpipForwardReply>(*reply);
  if (!part || part->port == 0 || part->port > 65535) return std::nullopt;
  return part->port;
}

Result<ChannelOpen> parse_channel_open(std::string_view type, BytesView payload) {
  if (!is_name(type, kMaxNameBytes)) return refuse("bad channel type");
  if (type == "session") {
    MEZ_CHECK(expect_empty(payload, "session open"));
    return SessionOpen{};
  }
  if (type == "direct-tcpip") {
    MEZ_TRY(auto open, parse_tcpip<DirectTcpipOpen>(payload));
    return open;
  }
  if (type == "forwarded-tcpip") {
    MEZ_TRY(auto open, parse_tcpip<ForwardedTcpipOpen>(payload));
    return open;
  }
  if (type == "direct-streamlocal@openssh.com") {
    MEZ_TRY(auto part, decode<wire::DirectStreamlocal>(payload));
    if (!is_socket_path(part.path)) return refuse("bad socket path");
    return DirectStreamlocalOpen{std::move(part.path)};
  }
  if (type == "forwarded-streamlocal@openssh.com") {
    MEZ_TRY(auto part, decode<wire::ForwardedStreamlocal>(payload));
    if (!is_socket_path(part.path)) return refuse("bad socket path");
    return ForwardedStreamlocalOpen{std::move(part.path)};
  }
  if (type == "auth-agent@openssh.com") {
    MEZ_CHECK(expect_empty(payload, "agent open"));
    return AgentOpen{};
  }
  if (type == "x11") {
    MEZ_TRY(auto part, decode<wire::X11Open>(payload));
    if (part.originator.size() > kMaxHostBytes || has_control(part.originator)) return refuse("bad originator");
    if (part.originator_port > 65535) return refuse("bad port");
    return X11Open{std::move(part.originator), part.originator_port};
  }
  if (payload.size() > kMaxValueBytes) return refuse("channel open is too large");
  return OtherOpen{std::string(type), to_bytes(payload)};
}

Result<ChannelRequest> parse_channel_request(std::string_view name, BytesView payload) {
  if (!is_name(name, kMaxNameBytes)) return refuse("bad request name");
  if (name == "env") {
    MEZ_TRY(auto part, decode<wire::EnvRequest>(payload));
    if (!is_name(part.name, kMaxNameBytes) || part.name.find('=') != std::string::npos) {
      return refuse("bad environment variable name");
    }
    if (part.value.size() > kMaxValueBytes || has_nul(part.value)) return refuse("bad environment variable value");
    return EnvRequest{std::move(part.name), std::move(part.value)};
  }
  if (name == "pty-req") {
    MEZ_TRY(auto part, decode<wire::PtyRequest>(payload));
    if (part.term.size() > kMaxNameBytes || has_control(part.term)) return refuse("bad terminal type");
    MEZ_TRY(auto modes, parse_modes(part.modes));
    return PtyRequest{std::move(part.term), clamp(part.columns, part.rows, part.width_pixels, part.height_pixels),
                      std::move(modes)};
  }
  if (name == "window-change") {
    MEZ_TRY(auto part, decode<wire::WindowChangeRequest>(payload));
    return WindowChangeRequest{clamp(part.columns, part.rows, part.width_pixels, part.height_pixels)};
  }
  if (name == "shell") {
    MEZ_CHECK(expect_empty(payload, "shell request"));
    return ShellRequest{};
  }
  if (name == "exec") {
    MEZ_TRY(auto part, decode<wire::ExecRequest>(payload));
    if (part.command.size() >= kMaxCommandBytes || has_nul(part.command)) return refuse("bad command");
    return ExecRequest{std::move(part.command)};
  }
  if (name == "subsystem") {
    MEZ_TRY(auto part, decode<wire::SubsystemRequest>(payload));
    if (!is_name(part.name, kMaxNameBytes)) return refuse("bad subsystem name");
    return SubsystemRequest{std::move(part.name)};
  }
  if (name == "signal") {
    MEZ_TRY(auto part, decode<wire::SignalRequest>(payload));
    if (!is_signal_name(part.name)) return refuse("bad signal name");
    return SignalRequest{std::move(part.name)};
  }
  if (name == "break") {
    Reader in(payload);
    BreakRequest request{in.u32()};
    MEZ_CHECK(in.finish("break request"));
    return request;
  }
  if (name == "x11-req") {
    MEZ_TRY(auto part, decode<wire::X11Request>(payload));
    if (!is_name(part.protocol, kMaxNameBytes) || !is_name(part.cookie, kMaxTextBytes)) {
      return refuse("bad X11 authentication");
    }
    return X11Request{part.single_connection, std::move(part.protocol), std::move(part.cookie), part.screen};
  }
  if (name == "auth-agent-req@openssh.com") {
    MEZ_CHECK(expect_empty(payload, "agent forwarding request"));
    return AgentForwardRequest{};
  }
  if (name == "exit-status") {
    MEZ_TRY(auto part, decode<wire::ExitStatusRequest>(payload));
    return ExitStatus{part.status};
  }
  if (name == "exit-signal") {
    MEZ_TRY(auto part, decode<wire::ExitSignalRequest>(payload));
    if (!is_signal_name(part.signal)) return refuse("bad signal name");
    if (part.message.size() > kMaxTextBytes) part.message.resize(kMaxTextBytes);
    return ExitSignal{std::move(part.signal), part.core_dumped, std::move(part.message)};
  }
  if (payload.size() > kMaxValueBytes) return refuse("request is too large");
  return OtherRequest{std::string(name), to_bytes(payload)};
}

Result<GlobalRequest> parse_global_request(std::string_view name, BytesView payload) {
  if (!is_name(name, kMaxNameBytes)) return refuse("bad request name");
  if (name == "tcpip-forward" || name == "cancel-tcpip-forward") {
    MEZ_TRY(auto part, decode<wire::TcpipForward>(payload));
    if (part.address.size() > kMaxHostBytes || has_control(part.address)) return refuse("bad address");
    if (part.port > 65535) return refuse("bad port");
    if (name == "tcpip-forward") return TcpipForwardRequest{std::move(part.address), part.port};
    return CancelTcpipForwardRequest{std::move(part.address), part.port};
  }
  if (name == "streamlocal-forward@openssh.com" || name == "cancel-streamlocal-forward@openssh.com") {
    MEZ_TRY(auto part, decode<wire::StreamlocalForward>(payload));
    if (!is_socket_path(part.path)) return refuse("bad socket path");
    if (name.starts_with("cancel")) return CancelStreamlocalForwardRequest{std::move(part.path)};
    return StreamlocalForwardRequest{std::move(part.path)};
  }
  if (payload.size() > kMaxValueBytes) return refuse("request is too large");
  return OtherGlobalRequest{std::string(name), to_bytes(payload)};
}

}  // namespace mezite::ssh
