// What RFC 4254 and OpenSSH let a peer ask for, as typed structs: channel opens, channel requests, global requests.
// All text is the peer's, checked for length, NUL and control bytes where the protocol needs none, and otherwise raw.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/bytes.hh"

namespace mezite::ssh {

// ---- channel opens (RFC 4254 §6.1, §6.3.2, §7.2; PROTOCOL of OpenSSH §2.4, §2.8)
//
// Which side may send which is enforced before anybody is asked: session, direct-tcpip and direct-streamlocal by
// clients; forwarded-tcpip, forwarded-streamlocal, auth-agent and x11 by servers. Whether a client had asked for what
// a server opens (a forward, the agent, X11) is for the client's handler to check: it must refuse the rest.

struct SessionOpen {
  bool operator==(const SessionOpen&) const = default;
};
// The peer wants a connection to host:port made from here.
struct DirectTcpipOpen {
  std::string host;
  std::uint32_t port = 0;  // 0–65535
  std::string originator_host;
  std::uint32_t originator_port = 0;
  bool operator==(const DirectTcpipOpen&) const = default;
};
// A connection arrived at host:port, which had been asked for by tcpip-forward.
struct ForwardedTcpipOpen {
  std::string host;
  std::uint32_t port = 0;
  std::string originator_host;
  std::uint32_t originator_port = 0;
  bool operator==(const ForwardedTcpipOpen&) const = default;
};
// The peer wants a connection to a Unix socket made from here. The path has 1–107 bytes, no control characters and no
// ".." component; it may be relative.
struct DirectStreamlocalOpen {  // direct-streamlocal@openssh.com
  std::string path;
  bool operator==(const DirectStreamlocalOpen&) const = default;
};
// A connection arrived at the Unix socket that streamlocal-forward had asked for.
struct ForwardedStreamlocalOpen {  // forwarded-streamlocal@openssh.com
  std::string path;                // as in StreamlocalForwardRequest
  bool operator==(const ForwardedStreamlocalOpen&) const = default;
};
// Something on the server's side speaks to the client's ssh-agent.
struct AgentOpen {  // auth-agent@openssh.com
  bool operator==(const AgentOpen&) const = default;
};
// An X11 program connected at the server's side.
struct X11Open {
  std::string originator_host;
  std::uint32_t originator_port = 0;
  bool operator==(const X11Open&) const = default;
};
// Any other type: "control@mezite.com" …
struct OtherOpen {
  std::string type;
  Bytes payload;  // type-specific data, not parsed
  bool operator==(const OtherOpen&) const = default;
};
using ChannelOpen = std::variant<SessionOpen, DirectTcpipOpen, ForwardedTcpipOpen, DirectStreamlocalOpen,
                                 ForwardedStreamlocalOpen, AgentOpen, X11Open, OtherOpen>;

// The channel type's name on the wire.
std::string_view channel_type(const ChannelOpen& open);

// RFC 4254 §5.1
enum class OpenFailure : std::uint32_t {
  kAdministrativelyProhibited = 1,
  kConnectFailed = 2,
  kUnknownChannelType = 3,
  kResourceShortage = 4,
};

// ---- channel requests (RFC 4254 §6.2–§6.10, RFC 4335)

struct EnvRequest {
  std::string name;
  std::string value;
  bool operator==(const EnvRequest&) const = default;
};
// An encoded terminal mode (RFC 4254 §8): opcode 1–159 and its argument.
struct TerminalMode {
  std::uint8_t opcode = 0;
  std::uint32_t argument = 0;
  bool operator==(const TerminalMode&) const = default;
};
struct TerminalSize {
  std::uint32_t columns = 0;
  std::uint32_t rows = 0;
  std::uint32_t width_pixels = 0;
  std::uint32_t height_pixels = 0;
  bool operator==(const TerminalSize&) const = default;
};
struct PtyRequest {
  std::string term;
  TerminalSize size;
  std::vector<TerminalMode> modes;  // at most 256, in the order sent
  bool operator==(const PtyRequest&) const = default;
};
struct WindowChangeRequest {
  TerminalSize size;
  bool operator==(const WindowChangeRequest&) const = default;
};
struct ShellRequest {
  bool operator==(const ShellRequest&) const = default;
};
struct ExecRequest {
  std::string command;  // no NUL inside
  bool operator==(const ExecRequest&) const = default;
};
struct SubsystemRequest {
  std::string name;
  bool operator==(const SubsystemRequest&) const = default;
};
struct SignalRequest {
  std::string name;  // without "SIG": "TERM", "INT"; letters, digits and "@.-_" only
  bool operator==(const SignalRequest&) const = default;
};
struct BreakRequest {
  std::uint32_t length_ms = 0;
  bool operator==(const BreakRequest&) const = default;
};
struct X11Request {
  bool single_connection = false;
  std::string protocol;
  std::string cookie;
  std::uint32_t screen = 0;
  bool operator==(const X11Request&) const = default;
};
struct AgentForwardRequest {  // auth-agent-req@openssh.com
  bool operator==(const AgentForwardRequest&) const = default;
};
struct ExitStatus {
  std::uint32_t code = 0;
  bool operator==(const ExitStatus&) const = default;
};
struct ExitSignal {
  std::string name;  // as SignalRequest
  bool core_dumped = false;
  std::string message;
  bool operator==(const ExitSignal&) const = default;
};
struct OtherRequest {
  std::string name;
  Bytes payload;
  bool operator==(const OtherRequest&) const = default;
};
using ChannelRequest =
    std::variant<EnvRequest, PtyRequest, WindowChangeRequest, ShellRequest, ExecRequest, SubsystemRequest,
                 SignalRequest, BreakRequest, X11Request, AgentForwardRequest, ExitStatus, ExitSignal, OtherRequest>;

std::string_view request_name(const ChannelRequest& request);

// ---- global requests (RFC 4254 §4, §7.1; PROTOCOL of OpenSSH §2.4)
//
// A client sends these; from a server they are refused without asking.

struct TcpipForwardRequest {
  std::string address;
  std::uint32_t port = 0;  // 0: any; the answer says which
  bool operator==(const TcpipForwardRequest&) const = default;
};
struct CancelTcpipForwardRequest {
  std::string address;
  std::uint32_t port = 0;
  bool operator==(const CancelTcpipForwardRequest&) const = default;
};
struct StreamlocalForwardRequest {  // streamlocal-forward@openssh.com
  std::string path;                 // as in DirectStreamlocalOpen
  bool operator==(const StreamlocalForwardRequest&) const = default;
};
struct CancelStreamlocalForwardRequest {  // cancel-streamlocal-forward@openssh.com
  std::string path;
  bool operator==(const CancelStreamlocalForwardRequest&) const = default;
};
// Anything else. keepalive@openssh.com, no-more-sessions@openssh.com, hostkeys-00@openssh.com and
// hostkeys-prove-00@openssh.com are dealt with below and never seen by users of endpoints.
struct OtherGlobalRequest {
  std::string name;
  Bytes payload;
  bool operator==(const OtherGlobalRequest&) const = default;
};
using GlobalRequest = std::variant<TcpipForwardRequest, CancelTcpipForwardRequest, StreamlocalForwardRequest,
                                   CancelStreamlocalForwardRequest, OtherGlobalRequest>;

std::string_view request_name(const GlobalRequest& request);

// The port in the answer to a TcpipForwardRequest for port 0 (what a GlobalReplyCallback got); nothing when the answer
// was a failure or holds no port.
std::optional<std::uint32_t> forwarded_port(std::optional<BytesView> reply);

}  // namespace mezite::ssh
