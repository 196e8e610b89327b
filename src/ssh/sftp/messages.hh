// The packets of SFTP version 3 as structs: draft-ietf-secsh-filexfer-02 §4, §6, §7, and the extensions of OpenSSH's
// PROTOCOL §4. codec.hh turns them into bytes and back.
//
// BytesView members point into the packet: such a struct lives no longer than that.
#pragma once

#include <string>
#include <variant>
#include <vector>

#include "ssh/sftp/attributes.hh"
#include "ssh/sftp/packet.hh"
#include "ssh/wire/codec.hh"

namespace mezite::ssh::sftp {

struct Extension {
  std::string name;
  std::string data;
  MEZ_SSH_FIELDS(name, data)
};

// Up to the end of the packet.
struct Extensions {
  std::vector<Extension> items;
};

// ---- requests

struct Init {
  static constexpr PacketType kType = PacketType::kInit;
  std::uint32_t version = kProtocolVersion;
  Extensions extensions;
  MEZ_SSH_FIELDS(version, extensions)
};
struct Open {
  static constexpr PacketType kType = PacketType::kOpen;
  std::string path;
  std::uint32_t flags = 0;  // kOpenRead …
  Attributes attributes;
  MEZ_SSH_FIELDS(path, flags, attributes)
};
struct Close {
  static constexpr PacketType kType = PacketType::kClose;
  BytesView handle;
  MEZ_SSH_FIELDS(handle)
};
struct Read {
  static constexpr PacketType kType = PacketType::kRead;
  BytesView handle;
  std::uint64_t offset = 0;
  std::uint32_t length = 0;
  MEZ_SSH_FIELDS(handle, offset, length)
};
struct Write {
  static constexpr PacketType kType = PacketType::kWrite;
  BytesView handle;
  std::uint64_t offset = 0;
  BytesView data;
  MEZ_SSH_FIELDS(handle, offset, data)
};
struct Lstat {
  static constexpr PacketType kType = PacketType::kLstat;
  std::string path;
  MEZ_SSH_FIELDS(path)
};
struct Fstat {
  static constexpr PacketType kType = PacketType::kFstat;
  BytesView handle;
  MEZ_SSH_FIELDS(handle)
};
struct Setstat {
  static constexpr PacketType kType = PacketType::kSetstat;
  std::string path;
  Attributes attributes;
  MEZ_SSH_FIELDS(path, attributes)
};
struct Fsetstat {
  static constexpr PacketType kType = PacketType::kFsetstat;
  BytesView handle;
  Attributes attributes;
  MEZ_SSH_FIELDS(handle, attributes)
};
struct Opendir {
  static constexpr PacketType kType = PacketType::kOpendir;
  std::string path;
  MEZ_SSH_FIELDS(path)
};
struct Readdir {
  static constexpr PacketType kType = PacketType::kReaddir;
  BytesView handle;
  MEZ_SSH_FIELDS(handle)
};
struct Remove {
  static constexpr PacketType kType = PacketType::kRemove;
  std::string path;
  MEZ_SSH_FIELDS(path)
};
struct Mkdir {
  static constexpr PacketType kType = PacketType::kMkdir;
  std::string path;
  Attributes attributes;
  MEZ_SSH_FIELDS(path, attributes)
};
struct Rmdir {
  static constexpr PacketType kType = PacketType::kRmdir;
  std::string path;
  MEZ_SSH_FIELDS(path)
};
struct Realpath {
  static constexpr PacketType kType = PacketType::kRealpath;
  std::string path;
  MEZ_SSH_FIELDS(path)
};
struct Stat {
  static constexpr PacketType kType = PacketType::kStat;
  std::string path;
  MEZ_SSH_FIELDS(path)
};
struct Rename {
  static constexpr PacketType kType = PacketType::kRename;
  std::string from;
  std::string to;
  MEZ_SSH_FIELDS(from, to)
};
struct Readlink {
  static constexpr PacketType kType = PacketType::kReadlink;
  std::string path;
  MEZ_SSH_FIELDS(path)
};
// In OpenSSH's order, which is not the draft's (PROTOCOL §4.1): what it points to comes first.
struct Symlink {
  static constexpr PacketType kType = PacketType::kSymlink;
  std::string target;
  std::string path;
  MEZ_SSH_FIELDS(target, path)
};

// ---- SSH_FXP_EXTENDED, by name

struct PosixRename {
  static constexpr std::string_view kExtension = "posix-rename@openssh.com";
  std::string from;
  std::string to;
  MEZ_SSH_FIELDS(from, to)
};
struct Statvfs {
  static constexpr std::string_view kExtension = "statvfs@openssh.com";
  std::string path;
  MEZ_SSH_FIELDS(path)
};
struct Fstatvfs {
  static constexpr std::string_view kExtension = "fstatvfs@openssh.com";
  BytesView handle;
  MEZ_SSH_FIELDS(handle)
};
struct Hardlink {
  static constexpr std::string_view kExtension = "hardlink@openssh.com";
  std::string target;
  std::string path;
  MEZ_SSH_FIELDS(target, path)
};
struct Fsync {
  static constexpr std::string_view kExtension = "fsync@openssh.com";
  BytesView handle;
  MEZ_SSH_FIELDS(handle)
};
struct Lsetstat {
  static constexpr std::string_view kExtension = "lsetstat@openssh.com";
  std::string path;
  Attributes attributes;
  MEZ_SSH_FIELDS(path, attributes)
};
struct LimitsRequest {
  static constexpr std::string_view kExtension = "limits@openssh.com";
  auto fields() { return std::tie(); }
  auto fields() const { return std::tie(); }
};
struct ExpandPath {
  static constexpr std::string_view kExtension = "expand-path@openssh.com";
  std::string path;
  MEZ_SSH_FIELDS(path)
};
struct CopyData {  // draft-ietf-secsh-filexfer-extensions-00 §7
  static constexpr std::string_view kExtension = "copy-data";
  BytesView from;
  std::uint64_t from_offset = 0;
  std::uint64_t length = 0;  // 0: to the end of the file
  BytesView to;
  std::uint64_t to_offset = 0;
  MEZ_SSH_FIELDS(from, from_offset, length, to, to_offset)
};
struct HomeDirectory {
  static constexpr std::string_view kExtension = "home-directory";
  std::string user;
  MEZ_SSH_FIELDS(user)
};
struct UnknownExtended {
  std::string name;
  Rest data;
  MEZ_SSH_FIELDS(name, data)
};

using Request =
    std::variant<Init, Open, Close, Read, Write, Lstat, Fstat, Setstat, Fsetstat, Opendir, Readdir, Remove, Mkdir,
                 Rmdir, Realpath, Stat, Rename, Readlink, Symlink, PosixRename, Statvfs, Fstatvfs, Hardlink, Fsync,
                 Lsetstat, LimitsRequest, ExpandPath, CopyData, HomeDirectory, UnknownExtended>;

// ---- replies

struct VersionReply {
  static constexpr PacketType kType = PacketType::kVersion;
  std::uint32_t version = kProtocolVersion;
  Extensions extensions;
  MEZ_SSH_FIELDS(version, extensions)
};
struct StatusReply {
  static constexpr PacketType kType = PacketType::kStatus;
  StatusCode code = StatusCode::kOk;
  OptionalTail message;  // servers of version 0–2 leave message and language out
  OptionalTail language;
  MEZ_SSH_FIELDS(code, message, language)
};
struct HandleReply {
  static constexpr PacketType kType = PacketType::kHandle;
  BytesView handle;
  MEZ_SSH_FIELDS(handle)
};
struct DataReply {
  static constexpr PacketType kType = PacketType::kData;
  BytesView data;
  MEZ_SSH_FIELDS(data)
};
struct NameEntry {
  std::string name;
  std::string long_name;  // a line of `ls -l`, for people
  Attributes attributes;
  MEZ_SSH_FIELDS(name, long_name, attributes)
};
struct NameReply {
  static constexpr PacketType kType = PacketType::kName;
  Counted<NameEntry> entries;
  MEZ_SSH_FIELDS(entries)
};
struct AttrsReply {
  static constexpr PacketType kType = PacketType::kAttrs;
  Attributes attributes;
  MEZ_SSH_FIELDS(attributes)
};
struct ExtendedReply {
  static constexpr PacketType kType = PacketType::kExtendedReply;
  Rest data;  // decode_limits(), decode_file_system()
  MEZ_SSH_FIELDS(data)
};

using Reply = std::variant<VersionReply, StatusReply, HandleReply, DataReply, NameReply, AttrsReply, ExtendedReply>;

// What limits@openssh.com answers; 0: not said.
struct Limits {
  std::uint64_t max_packet = 0;
  std::uint64_t max_read = 0;
  std::uint64_t max_write = 0;
  std::uint64_t max_handles = 0;
  MEZ_SSH_FIELDS(max_packet, max_read, max_write, max_handles)
};

// What statvfs@openssh.com answers; as statvfs(3).
struct FileSystem {
  std::uint64_t block_size = 0;
  std::uint64_t fragment_size = 0;
  std::uint64_t blocks = 0;  // in fragments
  std::uint64_t blocks_free = 0;
  std::uint64_t blocks_available = 0;
  std::uint64_t files = 0;
  std::uint64_t files_free = 0;
  std::uint64_t files_available = 0;
  std::uint64_t id = 0;
  std::uint64_t flags = 0;
  std::uint64_t max_name = 0;
  MEZ_SSH_FIELDS(block_size, fragment_size, blocks, blocks_free, blocks_available, files, files_free, files_available,
                 id, flags, max_name)
};

}  // namespace mezite::ssh::sftp
