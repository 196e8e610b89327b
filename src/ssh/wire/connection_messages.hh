// RFC 4254: global requests, channels, and the parts that go with channel types and requests. In a namespace of their
// own: ssh/connection/requests.hh has the names without it for what the users of channels see.
#pragma once

#include "ssh/wire/codec.hh"

namespace mezite::ssh::wire {

// §4. What follows is a part: TcpipForward, StreamlocalForward, nothing for keepalive@openssh.com.
struct GlobalRequest {
  static constexpr MessageNumber kNumber = MessageNumber::kGlobalRequest;
  std::string type;
  bool want_reply = false;
  Rest parameters;
  MEZ_SSH_FIELDS(type, want_reply, parameters)
};

struct RequestSuccess {
  static constexpr MessageNumber kNumber = MessageNumber::kRequestSuccess;
  Rest parameters;
  MEZ_SSH_FIELDS(parameters)
};

struct RequestFailure {
  static constexpr MessageNumber kNumber = MessageNumber::kRequestFailure;
  MEZ_SSH_FIELDS()
};

// §5.1. What follows is a part: DirectTcpip, ForwardedTcpip, X11Open, DirectStreamlocal, ForwardedStreamlocal, nothing
// for "session".
struct ChannelOpen {
  static constexpr MessageNumber kNumber = MessageNumber::kChannelOpen;
  std::string type;
  std::uint32_t sender = 0;
  std::uint32_t window = 0;
  std::uint32_t max_packet = 0;
  Rest parameters;
  MEZ_SSH_FIELDS(type, sender, window, max_packet, parameters)
};

struct ChannelOpenConfirmation {
  static constexpr MessageNumber kNumber = MessageNumber::kChannelOpenConfirmation;
  std::uint32_t recipient = 0;
  std::uint32_t sender = 0;
  std::uint32_t window = 0;
  std::uint32_t max_packet = 0;
  Rest parameters;
  MEZ_SSH_FIELDS(recipient, sender, window, max_packet, parameters)
};

struct ChannelOpenFailure {
  static constexpr MessageNumber kNumber = MessageNumber::kChannelOpenFailure;
  std::uint32_t recipient = 0;
  ChannelOpenFailureReason reason = ChannelOpenFailureReason::kConnectFailed;
  std::string description;
  std::string language;
  MEZ_SSH_FIELDS(recipient, reason, description, language)
};

struct ChannelWindowAdjust {
  static constexpr MessageNumber kNumber = MessageNumber::kChannelWindowAdjust;
  std::uint32_t recipient = 0;
  std::uint32_t bytes_to_add = 0;
  MEZ_SSH_FIELDS(recipient, bytes_to_add)
};

struct ChannelData {
  static constexpr MessageNumber kNumber = MessageNumber::kChannelData;
  std::uint32_t recipient = 0;
  BytesView data;
  MEZ_SSH_FIELDS(recipient, data)
};

struct ChannelExtendedData {
  static constexpr MessageNumber kNumber = MessageNumber::kChannelExtendedData;
  std::uint32_t recipient = 0;
  std::uint32_t data_type = kExtendedDataStderr;
  BytesView data;
  MEZ_SSH_FIELDS(recipient, data_type, data)
};

struct ChannelEof {
  static constexpr MessageNumber kNumber = MessageNumber::kChannelEof;
  std::uint32_t recipient = 0;
  MEZ_SSH_FIELDS(recipient)
};

struct ChannelClose {
  static constexpr MessageNumber kNumber = MessageNumber::kChannelClose;
  std::uint32_t recipient = 0;
  MEZ_SSH_FIELDS(recipient)
};

// §5.4. What follows is one of the *Request parts below.
struct ChannelRequest {
  static constexpr MessageNumber kNumber = MessageNumber::kChannelRequest;
  std::uint32_t recipient = 0;
  std::string type;
  bool want_reply = false;
  Rest parameters;
  MEZ_SSH_FIELDS(recipient, type, want_reply, parameters)
};

struct ChannelSuccess {
  static constexpr MessageNumber kNumber = MessageNumber::kChannelSuccess;
  std::uint32_t recipient = 0;
  MEZ_SSH_FIELDS(recipient)
};

struct ChannelFailure {
  static constexpr MessageNumber kNumber = MessageNumber::kChannelFailure;
  std::uint32_t recipient = 0;
  MEZ_SSH_FIELDS(recipient)
};

// Parts of ChannelOpen.

struct DirectTcpip {  // §7.2 "direct-tcpip"
  std::string host;
  std::uint32_t port = 0;
  std::string originator;
  std::uint32_t originator_port = 0;
  MEZ_SSH_FIELDS(host, port, originator, originator_port)
};

struct ForwardedTcpip {  // §7.2 "forwarded-tcpip"
  std::string connected_address;
  std::uint32_t connected_port = 0;
  std::string originator;
  std::uint32_t originator_port = 0;
  MEZ_SSH_FIELDS(connected_address, connected_port, originator, originator_port)
};

struct X11Open {  // §6.3.2 "x11"
  std::string originator;
  std::uint32_t originator_port = 0;
  MEZ_SSH_FIELDS(originator, originator_port)
};

struct DirectStreamlocal {  // OpenSSH PROTOCOL §2.4 "direct-streamlocal@openssh.com"
  std::string path;
  std::string reserved;
  std::uint32_t reserved_number = 0;
  MEZ_SSH_FIELDS(path, reserved, reserved_number)
};

struct ForwardedStreamlocal {  // OpenSSH PROTOCOL §2.4 "forwarded-streamlocal@openssh.com"
  std::string path;
  std::string reserved;
  MEZ_SSH_FIELDS(path, reserved)
};

// Parts of GlobalRequest.

struct TcpipForward {  // §7.1 "tcpip-forward", "cancel-tcpip-forward"
  std::string address;
  std::uint32_t port = 0;
  MEZ_SSH_FIELDS(address, port)
};

struct TcpipForwardReply {  // §7.1, when port 0 was asked for
  std::uint32_t port = 0;
  MEZ_SSH_FIELDS(port)
};

// OpenSSH PROTOCOL §2.4 "streamlocal-forward@openssh.com", "cancel-streamlocal-forward@openssh.com"
struct StreamlocalForward {
  std::string path;
  MEZ_SSH_FIELDS(path)
};

// Parts of ChannelRequest.

struct PtyRequest {  // §6.2 "pty-req"
  std::string term;
  std::uint32_t columns = 0;
  std::uint32_t rows = 0;
  std::uint32_t width_pixels = 0;
  std::uint32_t height_pixels = 0;
  Bytes modes;  // §8
  MEZ_SSH_FIELDS(term, columns, rows, width_pixels, height_pixels, modes)
};

struct X11Request {  // §6.3.1 "x11-req"
  bool single_connection = false;
  std::string protocol;
  std::string cookie;
  std::uint32_t screen = 0;
  MEZ_SSH_FIELDS(single_connection, protocol, cookie, screen)
};

struct EnvRequest {  // §6.4 "env"
  std::string name;
  std::string value;
  MEZ_SSH_FIELDS(name, value)
};

struct ExecRequest {  // §6.5 "exec"
  std::string command;
  MEZ_SSH_FIELDS(command)
};

struct SubsystemRequest {  // §6.5 "subsystem"
  std::string name;
  MEZ_SSH_FIELDS(name)
};

struct WindowChangeRequest {  // §6.7 "window-change"
  std::uint32_t columns = 0;
  std::uint32_t rows = 0;
  std::uint32_t width_pixels = 0;
  std::uint32_t height_pixels = 0;
  MEZ_SSH_FIELDS(columns, rows, width_pixels, height_pixels)
};

struct SignalRequest {  // §6.9 "signal"
  std::string name;     // without "SIG"
  MEZ_SSH_FIELDS(name)
};

struct ExitStatusRequest {  // §6.10 "exit-status"
  std::uint32_t status = 0;
  MEZ_SSH_FIELDS(status)
};

struct ExitSignalRequest {  // §6.10 "exit-signal"
  std::string signal;       // without "SIG"
  bool core_dumped = false;
  std::string message;
  std::string language;
  MEZ_SSH_FIELDS(signal, core_dumped, message, language)
};

}  // namespace mezite::ssh::wire
