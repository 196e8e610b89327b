#include "ssh/wire/message_number.hh"

namespace mezite::ssh {

std::string_view message_name(std::uint8_t number) {
  switch (static_cast<MessageNumber>(number)) {
    case MessageNumber::kDisconnect: return "SSH_MSG_DISCONNECT";
    case MessageNumber::kIgnore: return "SSH_MSG_IGNORE";
    case MessageNumber::kUnimplemented: return "SSH_MSG_UNIMPLEMENTED";
    case MessageNumber::kDebug: return "SSH_MSG_DEBUG";
    case MessageNumber::kServiceRequest: return "SSH_MSG_SERVICE_REQUEST";
    case MessageNumber::kServiceAccept: return "SSH_MSG_SERVICE_ACCEPT";
    case MessageNumber::kExtInfo: return "SSH_MSG_EXT_INFO";
    case MessageNumber::kNewCompress: return "SSH_MSG_NEWCOMPRESS";
    case MessageNumber::kKexInit: return "SSH_MSG_KEXINIT";
    case MessageNumber::kNewKeys: return "SSH_MSG_NEWKEYS";
    case MessageNumber::kKexEcdhInit: return "SSH_MSG_KEX_ECDH_INIT";
    case MessageNumber::kKexEcdhReply: return "SSH_MSG_KEX_ECDH_REPLY";
    case MessageNumber::kUserauthRequest: return "SSH_MSG_USERAUTH_REQUEST";
    case MessageNumber::kUserauthFailure: return "SSH_MSG_USERAUTH_FAILURE";
    case MessageNumber::kUserauthSuccess: return "SSH_MSG_USERAUTH_SUCCESS";
    case MessageNumber::kUserauthBanner: return "SSH_MSG_USERAUTH_BANNER";
    case MessageNumber::kUserauth60: return "SSH_MSG_USERAUTH_60";
    case MessageNumber::kUserauthInfoResponse: return "SSH_MSG_USERAUTH_INFO_RESPONSE";
    case MessageNumber::kGlobalRequest: return "SSH_MSG_GLOBAL_REQUEST";
    case MessageNumber::kRequestSuccess: return "SSH_MSG_REQUEST_SUCCESS";
    case MessageNumber::kRequestFailure: return "SSH_MSG_REQUEST_FAILURE";
    case MessageNumber::kChannelOpen: return "SSH_MSG_CHANNEL_OPEN";
    case MessageNumber::kChannelOpenConfirmation: return "SSH_MSG_CHANNEL_OPEN_CONFIRMATION";
    case MessageNumber::kChannelOpenFailure: return "SSH_MSG_CHANNEL_OPEN_FAILURE";
    case MessageNumber::kChannelWindowAdjust: return "SSH_MSG_CHANNEL_WINDOW_ADJUST";
    case MessageNumber::kChannelData: return "SSH_MSG_CHANNEL_DATA";
    case MessageNumber::kChannelExtendedData: return "SSH_MSG_CHANNEL_EXTENDED_DATA";
    case MessageNumber::kChannelEof: return "SSH_MSG_CHANNEL_EOF";
    case MessageNumber::kChannelClose: return "SSH_MSG_CHANNEL_CLOSE";
    case MessageNumber::kChannelRequest: return "SSH_MSG_CHANNEL_REQUEST";
    case MessageNumber::kChannelSuccess: return "SSH_MSG_CHANNEL_SUCCESS";
    case MessageNumber::kChannelFailure: return "SSH_MSG_CHANNEL_FAILURE";
    case MessageNumber::kPing: return "SSH_MSG_PING";
    case MessageNumber::kPong: return "SSH_MSG_PONG";
  }
  return {};
}

}  // namespace mezite::ssh
