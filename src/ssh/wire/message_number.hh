// SSH message numbers: RFC 4250 §4.1, RFC 5656 §7.1, RFC 8308 §2.3, OpenSSH PROTOCOL §1.
#pragma once

#include <cstdint>
#include <string_view>

namespace mezite::ssh {

enum class MessageNumber : std::uint8_t {
  kDisconnect = 1,
  kIgnore = 2,
  kUnimplemented = 3,
  kDebug = 4,
  kServiceRequest = 5,
  kServiceAccept = 6,
  kExtInfo = 7,
  kNewCompress = 8,
  kKexInit = 20,
  kNewKeys = 21,
  kKexEcdhInit = 30,  // 30–49 depend on the key exchange method
  kKexEcdhReply = 31,
  kUserauthRequest = 50,
  kUserauthFailure = 51,
  kUserauthSuccess = 52,
  kUserauthBanner = 53,
  kUserauth60 = 60,               // 60–79 depend on the authentication method:
  kUserauthPkOk = 60,             // publickey
  kUserauthPasswdChangereq = 60,  // password
  kUserauthInfoRequest = 60,      // keyboard-interactive
  kUserauthInfoResponse = 61,
  kGlobalRequest = 80,
  kRequestSuccess = 81,
  kRequestFailure = 82,
  kChannelOpen = 90,
  kChannelOpenConfirmation = 91,
  kChannelOpenFailure = 92,
  kChannelWindowAdjust = 93,
  kChannelData = 94,
  kChannelExtendedData = 95,
  kChannelEof = 96,
  kChannelClose = 97,
  kChannelRequest = 98,
  kChannelSuccess = 99,
  kChannelFailure = 100,
  kPing = 192,  // OpenSSH ping@openssh.com
  kPong = 193,
};

// "SSH_MSG_CHANNEL_DATA" for logs; "message 77" is the caller's to write when this is empty.
std::string_view message_name(std::uint8_t number);

// RFC 4250 §4.2.2.
enum class DisconnectReason : std::uint32_t {
  kHostNotAllowedToConnect = 1,
  kProtocolError = 2,
  kKeyExchangeFailed = 3,
  kReserved = 4,
  kMacError = 5,
  kCompressionError = 6,
  kServiceNotAvailable = 7,
  kProtocolVersionNotSupported = 8,
  kHostKeyNotVerifiable = 9,
  kConnectionLost = 10,
  kByApplication = 11,
  kTooManyConnections = 12,
  kAuthCancelledByUser = 13,
  kNoMoreAuthMethodsAvailable = 14,
  kIllegalUserName = 15,
};

// RFC 4250 §4.3.
enum class ChannelOpenFailureReason : std::uint32_t {
  kAdministrativelyProhibited = 1,
  kConnectFailed = 2,
  kUnknownChannelType = 3,
  kResourceShortage = 4,
};

// RFC 4250 §4.4: the one data type of SSH_MSG_CHANNEL_EXTENDED_DATA.
inline constexpr std::uint32_t kExtendedDataStderr = 1;

}  // namespace mezite::ssh
