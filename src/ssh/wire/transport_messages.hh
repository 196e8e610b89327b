// RFC 4253, RFC 5656 §4, RFC 8308, and OpenSSH's PING.
#pragma once

#include "ssh/wire/codec.hh"

namespace mezite::ssh {

struct DisconnectMessage {
  static constexpr MessageNumber kNumber = MessageNumber::kDisconnect;
  DisconnectReason reason = DisconnectReason::kByApplication;
  std::string description;
  std::string language;
  MEZ_SSH_FIELDS(reason, description, language)
};

struct IgnoreMessage {
  static constexpr MessageNumber kNumber = MessageNumber::kIgnore;
  BytesView data;
  MEZ_SSH_FIELDS(data)
};

struct UnimplementedMessage {
  static constexpr MessageNumber kNumber = MessageNumber::kUnimplemented;
  std::uint32_t sequence_number = 0;
  MEZ_SSH_FIELDS(sequence_number)
};

struct DebugMessage {
  static constexpr MessageNumber kNumber = MessageNumber::kDebug;
  bool always_display = false;
  std::string message;
  std::string language;
  MEZ_SSH_FIELDS(always_display, message, language)
};

struct ServiceRequest {
  static constexpr MessageNumber kNumber = MessageNumber::kServiceRequest;
  std::string service;
  MEZ_SSH_FIELDS(service)
};

struct ServiceAccept {
  static constexpr MessageNumber kNumber = MessageNumber::kServiceAccept;
  std::string service;
  MEZ_SSH_FIELDS(service)
};

struct Extension {
  std::string name;
  Bytes value;
  MEZ_SSH_FIELDS(name, value)
};

struct ExtInfo {
  static constexpr MessageNumber kNumber = MessageNumber::kExtInfo;
  Counted<Extension> extensions;
  MEZ_SSH_FIELDS(extensions)
};

// Names of extensions besides server-sig-algs; the value of each is "0" (OpenSSH PROTOCOL).
inline constexpr std::string_view kHostboundExtension = "publickey-hostbound@openssh.com";
inline constexpr std::string_view kPingExtension = "ping@openssh.com";

struct KexInit {
  static constexpr MessageNumber kNumber = MessageNumber::kKexInit;
  std::array<std::uint8_t, 16> cookie{};
  NameList kex_algorithms;
  NameList server_host_key_algorithms;
  NameList encryption_client_to_server;
  NameList encryption_server_to_client;
  NameList mac_client_to_server;
  NameList mac_server_to_client;
  NameList compression_client_to_server;
  NameList compression_server_to_client;
  NameList languages_client_to_server;
  NameList languages_server_to_client;
  bool first_kex_packet_follows = false;
  std::uint32_t reserved = 0;
  MEZ_SSH_FIELDS(cookie, kex_algorithms, server_host_key_algorithms, encryption_client_to_server,
                 encryption_server_to_client, mac_client_to_server, mac_server_to_client, compression_client_to_server,
                 compression_server_to_client, languages_client_to_server, languages_server_to_client,
                 first_kex_packet_follows, reserved)
};

struct NewKeys {
  static constexpr MessageNumber kNumber = MessageNumber::kNewKeys;
  MEZ_SSH_FIELDS()
};

struct KexEcdhInit {
  static constexpr MessageNumber kNumber = MessageNumber::kKexEcdhInit;
  BytesView client_public;  // Q_C
  MEZ_SSH_FIELDS(client_public)
};

struct KexEcdhReply {
  static constexpr MessageNumber kNumber = MessageNumber::kKexEcdhReply;
  BytesView host_key;       // K_S: key or certificate blob
  BytesView server_public;  // Q_S
  BytesView signature;
  MEZ_SSH_FIELDS(host_key, server_public, signature)
};

struct Ping {
  static constexpr MessageNumber kNumber = MessageNumber::kPing;
  BytesView data;
  MEZ_SSH_FIELDS(data)
};

struct Pong {
  static constexpr MessageNumber kNumber = MessageNumber::kPong;
  BytesView data;
  MEZ_SSH_FIELDS(data)
};

}  // namespace mezite::ssh
