// SFTP version 3 (draft-ietf-secsh-filexfer-02) as OpenSSH speaks it: numbers, codes, bounds.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace mezite::ssh::sftp {

inline constexpr std::uint32_t kProtocolVersion = 3;
// Of one packet behind its length, as OpenSSH's SFTP_MAX_MSG_LENGTH: both ends give up on a longer one.
inline constexpr std::size_t kMaxPacketBytes = std::size_t{256} << 10;
inline constexpr std::size_t kMaxHandleBytes = 256;  // draft §6.3

enum class PacketType : std::uint8_t {
  kInit = 1,
  kVersion = 2,
  kOpen = 3,
  kClose = 4,
  kRead = 5,
  kWrite = 6,
  kLstat = 7,
  kFstat = 8,
  kSetstat = 9,
  kFsetstat = 10,
  kOpendir = 11,
  kReaddir = 12,
  kRemove = 13,
  kMkdir = 14,
  kRmdir = 15,
  kRealpath = 16,
  kStat = 17,
  kRename = 18,
  kReadlink = 19,
  kSymlink = 20,
  kStatus = 101,
  kHandle = 102,
  kData = 103,
  kName = 104,
  kAttrs = 105,
  kExtended = 200,
  kExtendedReply = 201,
};

// "SSH_FXP_OPEN"; "SSH_FXP_?" for a number that is none.
std::string_view packet_name(std::uint8_t type);

enum class StatusCode : std::uint32_t {
  kOk = 0,
  kEof = 1,
  kNoSuchFile = 2,
  kPermissionDenied = 3,
  kFailure = 4,
  kBadMessage = 5,
  kNoConnection = 6,
  kConnectionLost = 7,
  kOpUnsupported = 8,
};

// In words, for people: "no such file". Codes of later versions are "failure".
std::string_view status_text(StatusCode code);

// Bits of SSH_FXP_OPEN.
inline constexpr std::uint32_t kOpenRead = 0x01;
inline constexpr std::uint32_t kOpenWrite = 0x02;
inline constexpr std::uint32_t kOpenAppend = 0x04;
inline constexpr std::uint32_t kOpenCreate = 0x08;
inline constexpr std::uint32_t kOpenTruncate = 0x10;
inline constexpr std::uint32_t kOpenExclusive = 0x20;

}  // namespace mezite::ssh::sftp
