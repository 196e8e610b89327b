#include "ssh/sftp/codec.hh"

#include <array>
#include <utility>

namespace mezite::ssh::sftp {
namespace {

constexpr std::size_t kMaxExtensions = 128;

template <class T>
concept Numbered = requires {
  { T::kType } -> std::convertible_to<PacketType>;
};
template <class T>
concept Named = requires {
  { T::kExtension } -> std::convertible_to<std::string_view>;
};

// ---- fields that RFC 4251's codec does not know

template <class T>
void read_part(Reader& in, T& value);
template <class T>
void write_part(Writer& out, const T& value);

template <class T>
void read_item(Reader& in, T& field) {
  if constexpr (std::is_same_v<T, Attributes>) {
    field = Attributes::read(in);
  } else if constexpr (std::is_same_v<T, Extensions>) {
    while (in.remaining() > 0 && field.items.size() < kMaxExtensions) read_part(in, field.items.emplace_back());
  } else if constexpr (std::is_same_v<T, Counted<NameEntry>>) {
    // Each entry takes twelve bytes at least, so a count that lies ends with the input.
    const std::uint32_t count = in.u32();
    for (std::uint32_t i = 0; i < count && !in.failed(); ++i) read_part(in, field.items.emplace_back());
  } else {
    ssh::detail::read_field(in, field);
  }
}

template <class T>
void write_item(Writer& out, const T& field) {
  if constexpr (std::is_same_v<T, Attributes>) {
    field.write(out);
  } else if constexpr (std::is_same_v<T, Extensions>) {
    for (const auto& item : field.items) write_part(out, item);
  } else if constexpr (std::is_same_v<T, Counted<NameEntry>>) {
    out.u32(static_cast<std::uint32_t>(field.items.size()));
    for (const auto& item : field.items) write_part(out, item);
  } else {
    ssh::detail::write_field(out, field);
  }
}

template <class T>
void read_part(Reader& in, T& value) {
  std::apply([&in](auto&... field) { (read_item(in, field), ...); }, value.fields());
}
template <class T>
void write_part(Writer& out, const T& value) {
  std::apply([&out](const auto&... field) { (write_item(out, field), ...); }, value.fields());
}

// ---- one alternative of a variant by its number or name

template <class Variant, std::size_t I = 0>
bool read_numbered(PacketType type, Reader& in, Variant& out) {
  if constexpr (I == std::variant_size_v<Variant>) {
    return false;
  } else {
    using T = std::variant_alternative_t<I, Variant>;
    if constexpr (Numbered<T>) {
      if (T::kType == type) {
        read_part(in, out.template emplace<I>());
        return true;
      }
    }
    return read_numbered<Variant, I + 1>(type, in, out);
  }
}

template <std::size_t I = 0>
void read_extended(std::string_view name, Reader& in, Request& out) {
  if constexpr (I == std::variant_size_v<Request>) {
    out.emplace<UnknownExtended>(UnknownExtended{std::string(name), Rest{in.rest()}});
  } else {
    using T = std::variant_alternative_t<I, Request>;
    if constexpr (Named<T>) {
      if (T::kExtension == name) return read_part(in, out.emplace<I>());
    }
    read_extended<I + 1>(name, in, out);
  }
}

// Calls write(Writer&) between a length and the bytes that it counts.
template <class Write>
void framed(Bytes& out, Write write) {
  const std::size_t start = out.size();
  Writer writer(out);
  writer.u32(0);
  write(writer);
  const auto size = static_cast<std::uint32_t>(out.size() - start - 4);
  for (std::size_t i = 0; i < 4; ++i) out[start + i] = static_cast<std::uint8_t>(size >> (24 - 8 * i));
}

template <class T>
Result<T> decode_whole(BytesView bytes, std::string_view what) {
  Reader in(bytes);
  Result<T> value{std::in_place};
  read_part(in, *value);
  MEZ_CHECK(in.finish(what));
  return value;
}

}  // namespace

std::string_view packet_name(std::uint8_t type) {
  constexpr std::array<std::string_view, 21> kRequests = {
      "SSH_FXP_?",        "SSH_FXP_INIT",     "SSH_FXP_VERSION", "SSH_FXP_OPEN",   "SSH_FXP_CLOSE",
      "SSH_FXP_READ",     "SSH_FXP_WRITE",    "SSH_FXP_LSTAT",   "SSH_FXP_FSTAT",  "SSH_FXP_SETSTAT",
      "SSH_FXP_FSETSTAT", "SSH_FXP_OPENDIR",  "SSH_FXP_READDIR", "SSH_FXP_REMOVE", "SSH_FXP_MKDIR",
      "SSH_FXP_RMDIR",    "SSH_FXP_REALPATH", "SSH_FXP_STAT",    "SSH_FXP_RENAME", "SSH_FXP_READLINK",
      "SSH_FXP_SYMLINK"};
  constexpr std::array<std::string_view, 5> kReplies = {"SSH_FXP_STATUS", "SSH_FXP_HANDLE", "SSH_FXP_DATA",
                                                        "SSH_FXP_NAME", "SSH_FXP_ATTRS"};
  if (type < kRequests.size()) return kRequests[type];
  if (type >= 101 && type < 101 + kReplies.size()) return kReplies[type - 101];
  if (type == 200) return "SSH_FXP_EXTENDED";
  if (type == 201) return "SSH_FXP_EXTENDED_REPLY";
  return kRequests[0];
}

std::string_view status_text(StatusCode code) {
  switch (code) {
    case StatusCode::kOk: return "ok";
    case StatusCode::kEof: return "end of file";
    case StatusCode::kNoSuchFile: return "no such file";
    case StatusCode::kPermissionDenied: return "permission denied";
    case StatusCode::kFailure: return "failure";
    case StatusCode::kBadMessage: return "bad message";
    case StatusCode::kNoConnection: return "no connection";
    case StatusCode::kConnectionLost: return "connection lost";
    case StatusCode::kOpUnsupported: return "operation not supported";
  }
  return "failure";
}

Result<RequestPacket> decode_request(BytesView packet, Trailing trailing) {
  Reader in(packet);
  const std::uint8_t type = in.byte();
  Result<RequestPacket> out{std::in_place};
  if (PacketType{type} != PacketType::kInit) out->id = in.u32();
  if (PacketType{type} == PacketType::kExtended) {
    const std::string name(in.text());
    read_extended(name, in, out->request);
  } else if (!read_numbered(PacketType{type}, in, out->request)) {
    return fail(ErrorCode::kProtocol, "packet type {} is no request of SFTP", type);
  }
  if (trailing == Trailing::kIgnore) in.rest();
  MEZ_CHECK(in.finish(packet_name(type)));
  return out;
}

Result<ReplyPacket> decode_reply(BytesView packet) {
  Reader in(packet);
  const std::uint8_t type = in.byte();
  Result<ReplyPacket> out{std::in_place};
  if (PacketType{type} != PacketType::kVersion) out->id = in.u32();
  if (!read_numbered(PacketType{type}, in, out->reply)) {
    return fail(ErrorCode::kProtocol, "packet type {} is no reply of SFTP", type);
  }
  MEZ_CHECK(in.finish(packet_name(type)));
  return out;
}

Result<Limits> decode_limits(BytesView extended_reply) {
  return decode_whole<Limits>(extended_reply, "answer to limits@openssh.com");
}
Result<FileSystem> decode_file_system(BytesView extended_reply) {
  return decode_whole<FileSystem>(extended_reply, "answer to statvfs@openssh.com");
}

void encode_request(Bytes& out, std::uint32_t id, const Request& request) {
  framed(out, [&](Writer& writer) {
    std::visit(
        [&]<class T>(const T& value) {
          if constexpr (Numbered<T>) {
            writer.byte(static_cast<std::uint8_t>(T::kType));
            if constexpr (!std::is_same_v<T, Init>) writer.u32(id);
          } else {
            writer.byte(static_cast<std::uint8_t>(PacketType::kExtended)).u32(id);
            if constexpr (Named<T>) writer.string(T::kExtension);
          }
          write_part(writer, value);
        },
        request);
  });
}

void encode_reply(Bytes& out, std::uint32_t id, const Reply& reply) {
  framed(out, [&](Writer& writer) {
    std::visit(
        [&]<class T>(const T& value) {
          writer.byte(static_cast<std::uint8_t>(T::kType));
          if constexpr (!std::is_same_v<T, VersionReply>) writer.u32(id);
          write_part(writer, value);
        },
        reply);
  });
}

Result<WriteHeader> decode_write_header(BytesView first_bytes, std::size_t packet_bytes) {
  Reader in(first_bytes);
  WriteHeader out;
  if (PacketType{in.byte()} != PacketType::kWrite) in.fail();
  out.id = in.u32();
  out.handle = in.string();
  out.offset = in.u64();
  out.data_bytes = in.u32();
  const std::size_t header = first_bytes.size() - in.remaining();
  if (in.failed() || packet_bytes < header || out.data_bytes > packet_bytes - header) {
    return fail(ErrorCode::kProtocol, "malformed SSH_FXP_WRITE");
  }
  return out;
}

void encode_write_header(Bytes& out, const WriteHeader& header) {
  Writer writer(out);
  writer.u32(static_cast<std::uint32_t>(1 + 4 + 4 + header.handle.size() + 8 + 4 + header.data_bytes));
  writer.byte(static_cast<std::uint8_t>(PacketType::kWrite)).u32(header.id).string(header.handle);
  writer.u64(header.offset).u32(header.data_bytes);
}

}  // namespace mezite::ssh::sftp
