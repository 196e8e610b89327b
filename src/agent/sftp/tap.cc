#include "agent/sftp/tap.hh"

#include <algorithm>
#include <array>

namespace mezite::agent {

namespace sftp = ssh::sftp;
using sftp::PacketType;
using sftp::StatusCode;

namespace {

// Linux takes no longer path; more of one is not kept.
constexpr std::size_t kMaxPathBytes = 4096;
// Answers that may be outstanding. What a client can have on its way is bounded by the channel's window and the pipe,
// some 200,000 of the shortest requests; stock clients have 64.
constexpr std::size_t kMaxWaiting = 65536;
constexpr std::size_t kMaxWaitingTextBytes = std::size_t{8} << 20;
// sftp-server opens no more than its limit of descriptors; one that is past this is told when it is opened only.
constexpr std::size_t kMaxOpenFiles = 4096;
// OpenSSH answers in order. How far behind the oldest request an answer is looked for, for servers that do not.
constexpr std::size_t kMaxOutOfOrder = 256;
constexpr std::size_t kReplyHeadBytes = 1 + 4 + 4;
constexpr std::size_t kMaxHandleReply = kReplyHeadBytes + sftp::kMaxHandleBytes;

// Paths end at a NUL that is their last byte, as in sftp-server (which takes no other NUL).
std::string bounded(std::string path) {
  if (path.ends_with('\0')) path.pop_back();
  if (path.size() > kMaxPathBytes) path.resize(kMaxPathBytes);
  return path;
}

std::string handle_text(BytesView handle) {
  return to_text(handle.first(std::min(handle.size(), sftp::kMaxHandleBytes)));
}

bool is_request(PacketType type) {
  return type == PacketType::kInit || type == PacketType::kExtended ||
         (type >= PacketType::kOpen && type <= PacketType::kSymlink);
}

std::uint32_t u32_at(BytesView bytes, std::size_t at) {
  return std::uint32_t{bytes[at]} << 24 | std::uint32_t{bytes[at + 1]} << 16 | std::uint32_t{bytes[at + 2]} << 8 |
         bytes[at + 3];
}

}  // namespace

SftpTap::SftpTap(Callbacks callbacks) : callbacks_(std::move(callbacks)) {}
SftpTap::~SftpTap() = default;

void SftpTap::from_client(BytesView bytes) {
  if (ended_ || requests_.scanner.failed()) return;
  if (auto status = requests_.scanner.feed(bytes); !status) lose_requests(status.error().message);
}

void SftpTap::from_server(BytesView bytes) {
  if (ended_ || answers_lost_) return;
  if (auto status = replies_.scanner.feed(bytes); !status) lose_answers(status.error().message);
}

void SftpTap::lose_requests(std::string_view why) {
  callbacks_.lost(fmt::format("what the client asks for can't be read: {}", why));
}

// Requests are still told, each at once and without a result.
void SftpTap::lose_answers(std::string_view why) {
  if (answers_lost_) return;
  answers_lost_ = true;
  callbacks_.lost(fmt::format("what the server answers can't be read: {}", why));
  for (auto& waiting : std::exchange(waiting_, {})) settle(std::move(waiting), std::nullopt);
  waiting_text_bytes_ = 0;
}

void SftpTap::end() {
  if (ended_) return;
  ended_ = true;
  for (auto& waiting : std::exchange(waiting_, {})) settle(std::move(waiting), std::nullopt);
  while (!files_.empty()) close_file(std::string(files_.begin()->first), std::nullopt, true);
}

std::size_t SftpTap::Direction::wanted(std::uint8_t type, std::size_t packet_bytes) {
  switch (PacketType{type}) {
    case PacketType::kWrite: return client ? sftp::kMaxWriteHeaderBytes : packet_bytes;
    case PacketType::kHandle: return client ? packet_bytes : kMaxHandleReply;
    default: return client ? packet_bytes : kReplyHeadBytes;  // of answers the head says all: id, code or size
  }
}

Status SftpTap::Direction::on_packet(BytesView first_bytes, std::size_t packet_bytes) {
  return client ? owner.on_request(first_bytes, packet_bytes) : owner.on_reply(first_bytes, packet_bytes);
}

SftpTap::OpenFile* SftpTap::find(std::string_view handle) {
  auto entry = files_.find(handle);
  return entry == files_.end() ? nullptr : &entry->second;
}

// ---- requests

Status SftpTap::on_write(BytesView first_bytes, std::size_t packet_bytes) {
  MEZ_TRY(const auto write, sftp::decode_write_header(first_bytes, packet_bytes));
  await(
      {.id = write.id, .kind = Waiting::Kind::kWrite, .bytes = write.data_bytes, .handle = handle_text(write.handle)});
  return {};
}

Status SftpTap::on_request(BytesView first_bytes, std::size_t packet_bytes) {
  if (PacketType{first_bytes[0]} == PacketType::kWrite) return on_write(first_bytes, packet_bytes);
  // sftp-server passes over what is no request, without an answer.
  if (!is_request(PacketType{first_bytes[0]}) && packet_bytes >= 5) return {};
  MEZ_TRY(auto packet, sftp::decode_request(first_bytes, sftp::Trailing::kIgnore));
  Waiting waiting{.id = packet.id};
  const auto change = [&waiting](FileOperation::Kind kind, std::string path,
                                 std::string target = {}) -> FileOperation& {
    waiting.kind = Waiting::Kind::kChange;
    waiting.operation = std::make_unique<FileOperation>(
        FileOperation{.kind = kind, .path = bounded(std::move(path)), .target = bounded(std::move(target))});
    return *waiting.operation;
  };
  using Kind = FileOperation::Kind;
  if (std::holds_alternative<sftp::Init>(packet.request)) {
    waiting.kind = Waiting::Kind::kInit;
  } else if (auto* open = std::get_if<sftp::Open>(&packet.request)) {
    auto& operation = change(Kind::kOpen, std::move(open->path));
    operation.open_flags = open->flags;
    operation.attributes = open->attributes;
    waiting.kind = Waiting::Kind::kOpen;
  } else if (auto* list = std::get_if<sftp::Opendir>(&packet.request)) {
    auto& operation = change(Kind::kOpen, std::move(list->path));
    operation.open_flags = sftp::kOpenRead;
    operation.directory = true;
    waiting.kind = Waiting::Kind::kOpen;
  } else if (const auto* close = std::get_if<sftp::Close>(&packet.request)) {
    waiting.kind = Waiting::Kind::kClose;
    waiting.handle = handle_text(close->handle);
  } else if (const auto* read = std::get_if<sftp::Read>(&packet.request)) {
    waiting.kind = Waiting::Kind::kRead;
    waiting.handle = handle_text(read->handle);
    waiting.bytes = read->length;
  } else if (const auto* copy = std::get_if<sftp::CopyData>(&packet.request)) {
    waiting.kind = Waiting::Kind::kCopy;
    waiting.handle = handle_text(copy->from);
    waiting.other_handle = handle_text(copy->to);
    waiting.bytes = copy->length;
  } else if (auto* set = std::get_if<sftp::Setstat>(&packet.request)) {
    change(Kind::kSetAttributes, std::move(set->path)).attributes = set->attributes;
  } else if (auto* lset = std::get_if<sftp::Lsetstat>(&packet.request)) {
    change(Kind::kSetAttributes, std::move(lset->path)).attributes = lset->attributes;
  } else if (const auto* fset = std::get_if<sftp::Fsetstat>(&packet.request)) {
    change(Kind::kSetAttributes, "").attributes = fset->attributes;
    waiting.handle = handle_text(fset->handle);
  } else if (auto* remove = std::get_if<sftp::Remove>(&packet.request)) {
    change(Kind::kRemove, std::move(remove->path));
  } else if (auto* make = std::get_if<sftp::Mkdir>(&packet.request)) {
    change(Kind::kMakeDirectory, std::move(make->path)).attributes = make->attributes;
  } else if (auto* unmake = std::get_if<sftp::Rmdir>(&packet.request)) {
    change(Kind::kRemoveDirectory, std::move(unmake->path));
  } else if (auto* rename = std::get_if<sftp::Rename>(&packet.request)) {
    change(Kind::kRename, std::move(rename->from), std::move(rename->to));
  } else if (auto* over = std::get_if<sftp::PosixRename>(&packet.request)) {
    change(Kind::kRename, std::move(over->from), std::move(over->to));
  } else if (auto* symlink = std::get_if<sftp::Symlink>(&packet.request)) {
    change(Kind::kSymlink, std::move(symlink->path), std::move(symlink->target));
  } else if (auto* link = std::get_if<sftp::Hardlink>(&packet.request)) {
    change(Kind::kLink, std::move(link->path), std::move(link->target));
  }
  await(std::move(waiting));
  return {};
}

void SftpTap::await(Waiting waiting) {
  if (answers_lost_) return settle(std::move(waiting), std::nullopt);
  if (waiting.operation) waiting_text_bytes_ += waiting.operation->path.size() + waiting.operation->target.size();
  waiting_.push_back(std::move(waiting));
  if (waiting_.size() > kMaxWaiting || waiting_text_bytes_ > kMaxWaitingTextBytes) {
    lose_answers("more requests than can be kept wait for an answer");
  }
}

// ---- answers

Status SftpTap::on_reply(BytesView first_bytes, std::size_t packet_bytes) {
  const PacketType type{first_bytes[0]};
  if (first_bytes.size() < 5) return fail(ErrorCode::kProtocol, "an answer of {} bytes", packet_bytes);
  const std::uint32_t id = u32_at(first_bytes, 1);
  const auto last = waiting_.begin() + static_cast<std::ptrdiff_t>(std::min(waiting_.size(), kMaxOutOfOrder));
  const auto found = std::find_if(waiting_.begin(), last, [&](const Waiting& one) {
    return type == PacketType::kVersion ? one.kind == Waiting::Kind::kInit
                                        : one.kind != Waiting::Kind::kInit && one.id == id;
  });
  if (found == last) return fail(ErrorCode::kProtocol, "an answer to nothing that was asked");
  Waiting waiting = std::move(*found);
  waiting_.erase(found);
  if (waiting.operation) waiting_text_bytes_ -= waiting.operation->path.size() + waiting.operation->target.size();

  switch (type) {
    case PacketType::kStatus:
      if (first_bytes.size() < kReplyHeadBytes) return fail(ErrorCode::kProtocol, "a status without a code");
      settle(std::move(waiting), StatusCode{u32_at(first_bytes, 5)});
      return {};
    case PacketType::kHandle: {
      ssh::Reader in(first_bytes.subspan(5));
      const BytesView handle = in.string();
      if (in.failed()) return fail(ErrorCode::kProtocol, "a malformed handle");
      if (waiting.kind != Waiting::Kind::kOpen) return fail(ErrorCode::kProtocol, "a handle that was not asked for");
      open_file(*waiting.operation, handle);
      settle(std::move(waiting), StatusCode::kOk);
      return {};
    }
    case PacketType::kData:
      if (first_bytes.size() < kReplyHeadBytes) return fail(ErrorCode::kProtocol, "data without a length");
      if (waiting.kind != Waiting::Kind::kRead) return fail(ErrorCode::kProtocol, "data that was not asked for");
      if (OpenFile* file = find(waiting.handle)) {
        file->bytes_read += std::min<std::size_t>(u32_at(first_bytes, 5), packet_bytes);
      }
      return {};
    case PacketType::kVersion:
    case PacketType::kName:
    case PacketType::kAttrs:
    case PacketType::kExtendedReply:
      // Of what changes something, none is answered this way.
      if (waiting.operation) return fail(ErrorCode::kProtocol, "an answer of another kind than was asked for");
      return {};
    default: return fail(ErrorCode::kProtocol, "packet type {} is no answer of SFTP", first_bytes[0]);
  }
}

void SftpTap::settle(Waiting waiting, std::optional<StatusCode> status) {
  const bool done = !status || status == StatusCode::kOk;  // or may have been
  OpenFile* file = waiting.handle.empty() ? nullptr : find(waiting.handle);
  switch (waiting.kind) {
    case Waiting::Kind::kOther:
    case Waiting::Kind::kInit: return;
    case Waiting::Kind::kRead:
      // Counted by the data that comes; what was asked for is all there is when answers can't be read.
      if (!status && file != nullptr) file->bytes_read += waiting.bytes;
      return;
    case Waiting::Kind::kWrite:
      if (done && file != nullptr) file->bytes_written += waiting.bytes;
      return;
    case Waiting::Kind::kCopy: {
      OpenFile* to = find(waiting.other_handle);
      if (!done) return;
      if (file != nullptr) file->bytes_read += waiting.bytes;
      if (to != nullptr) to->bytes_written += waiting.bytes;
      for (OpenFile* end : {file, to}) {
        if (end != nullptr && waiting.bytes == 0) end->copied = true;
      }
      return;
    }
    case Waiting::Kind::kClose: close_file(waiting.handle, status, false); return;
    case Waiting::Kind::kOpen:
    case Waiting::Kind::kChange:
      if (file != nullptr) waiting.operation->path = file->path;
      waiting.operation->status = status;
      callbacks_.operation(std::move(*waiting.operation));
      return;
  }
}

void SftpTap::open_file(const FileOperation& operation, BytesView handle) {
  std::string key = to_text(handle);
  // A handle that is given twice was closed in between without our knowing.
  if (files_.contains(key)) close_file(key, std::nullopt, true);
  if (files_.size() >= kMaxOpenFiles) return;
  files_.emplace(std::move(key),
                 OpenFile{.path = operation.path, .flags = operation.open_flags, .directory = operation.directory});
}

void SftpTap::close_file(const std::string& handle, std::optional<StatusCode> status, bool left_open) {
  auto entry = files_.find(handle);
  if (entry == files_.end()) return;
  const OpenFile file = std::move(entry->second);
  files_.erase(entry);
  if (file.directory) return;  // that it was listed has been told
  FileOperation operation{.kind = FileOperation::Kind::kClose, .path = file.path};
  operation.status = status;
  operation.open_flags = file.flags;
  operation.bytes_read = file.bytes_read;
  operation.bytes_written = file.bytes_written;
  operation.copied_on_server = file.copied;
  operation.left_open = left_open;
  callbacks_.operation(std::move(operation));
}

}  // namespace mezite::agent
