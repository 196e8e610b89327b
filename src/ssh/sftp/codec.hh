// Packets of SFTP as bytes, both ways. Every decoder takes hostile bytes.
//
// A "packet" is what is behind the length field: type, request id, fields. Encoders put the length in front.
#pragma once

#include <cstdint>

#include "base/bytes.hh"
#include "base/result.hh"
#include "ssh/sftp/messages.hh"

namespace mezite::ssh::sftp {

struct RequestPacket {
  std::uint32_t id = 0;  // 0 for Init, which has none
  Request request;
};
struct ReplyPacket {
  std::uint32_t id = 0;  // 0 for VersionReply, which has none
  Reply reply;
};

// OpenSSH's sftp-server takes no notice of bytes behind the fields of a request; who watches it must not either.
enum class Trailing { kRefuse, kIgnore };

// kProtocol when the type is none of a request, or a field is malformed.
Result<RequestPacket> decode_request(BytesView packet, Trailing trailing = Trailing::kRefuse);
Result<ReplyPacket> decode_reply(BytesView packet);
Result<Limits> decode_limits(BytesView extended_reply);
Result<FileSystem> decode_file_system(BytesView extended_reply);

// Append length and packet.
void encode_request(Bytes& out, std::uint32_t id, const Request& request);
void encode_reply(Bytes& out, std::uint32_t id, const Reply& reply);

// What is in front of the data of SSH_FXP_WRITE, read from the first bytes of a packet of packet_bytes bytes, and
// written the same way; so that data needs not be gathered.
struct WriteHeader {
  std::uint32_t id = 0;
  BytesView handle;
  std::uint64_t offset = 0;
  std::uint32_t data_bytes = 0;
};
inline constexpr std::size_t kMaxWriteHeaderBytes = 1 + 4 + 4 + kMaxHandleBytes + 8 + 4;
Result<WriteHeader> decode_write_header(BytesView first_bytes, std::size_t packet_bytes);
void encode_write_header(Bytes& out, const WriteHeader& header);

}  // namespace mezite::ssh::sftp
