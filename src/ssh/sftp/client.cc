#include "ssh/sftp/client.hh"

#include <algorithm>
#include <cstring>

#include "base/text.hh"

namespace mezite::ssh::sftp {
namespace {

constexpr std::size_t kSmallChunk = std::size_t{16} << 10;
constexpr std::size_t kDataHead = 1 + 4 + 4;  // type, id, length of the data
// What OpenSSH's server takes and gives in one packet, and this client too.
constexpr std::uint32_t kMostBytes = (256u << 10) - 1024;
constexpr std::size_t kMostOpenFiles = 1024;

Error error_of(const StatusReply& status) {
  const ErrorCode code = status.code == StatusCode::kNoSuchFile         ? ErrorCode::kNotFound
                         : status.code == StatusCode::kPermissionDenied ? ErrorCode::kPermissionDenied
                         : status.code == StatusCode::kOpUnsupported    ? ErrorCode::kUnavailable
                                                                        : ErrorCode::kIo;
  std::string text(status_text(status.code));
  // "Failure" says nothing; some servers say more beside it.
  if (status.code == StatusCode::kFailure && status.message) {
    const std::string_view message = as_text(*status.message).substr(0, 256);
    if (!message.empty() && message != "Failure") text = printable(message);
  }
  return {code, std::move(text)};
}

template <class T>
Result<const T*> expect(const Result<Reply>& reply) {
  if (!reply) return std::unexpected(reply.error());
  if (const auto* wanted = std::get_if<T>(&*reply)) return wanted;
  const auto* status = std::get_if<StatusReply>(&*reply);
  if (status != nullptr && status->code != StatusCode::kOk) return std::unexpected(error_of(*status));
  return fail(ErrorCode::kProtocol, "the SFTP server answered with another packet than the request calls for");
}

}  // namespace

bool ServerFacts::has(std::string_view extension) const {
  return std::ranges::find(extensions, extension, &Extension::name) != extensions.end();
}

// ---- output

BytesView Client::pending_output() const {
  if (output_.empty()) return {};
  const Chunk& first = output_.front();
  return {first.bytes.get() + first.begin, first.end - first.begin};
}

void Client::consume_output(std::size_t size) {
  output_bytes_ -= std::min(size, output_bytes_);
  while (size > 0 && !output_.empty()) {
    Chunk& first = output_.front();
    const std::size_t used = std::min(size, first.end - first.begin);
    first.begin += used;
    size -= used;
    if (first.begin < first.end) break;
    if (!spare_ || spare_->capacity < first.capacity) spare_ = std::move(first);
    output_.pop_front();
  }
  if (output_bytes_ >= kOutputHighWater / 2 || waiting_for_room_.empty()) return;
  for (auto& call : std::exchange(waiting_for_room_, {})) call();
}

Client::Chunk Client::make_chunk(std::size_t capacity) {
  if (spare_ && spare_->capacity >= capacity) {
    Chunk chunk = std::move(*spare_);
    spare_.reset();
    chunk.begin = chunk.end = 0;
    return chunk;
  }
  return {std::make_unique_for_overwrite<std::uint8_t[]>(capacity), capacity};
}

void Client::push(Chunk chunk) {
  const bool was_empty = output_bytes_ == 0;
  output_bytes_ += chunk.end - chunk.begin;
  output_.push_back(std::move(chunk));
  if (was_empty && wakeup_) wakeup_();
}

std::span<std::uint8_t> Client::write_space(std::size_t handle_bytes, std::uint32_t size) {
  const std::size_t head = 4 + 1 + 4 + 4 + handle_bytes + 8 + 4;
  open_write_ = make_chunk(head + size);
  open_write_->begin = head;
  return {open_write_->bytes.get() + head, size};
}

void Client::send_write(BytesView handle, std::uint64_t offset, std::uint32_t size,
                        std::shared_ptr<WriteTarget> target) {
  Chunk chunk = std::move(*open_write_);
  open_write_.reset();
  if (error_) return target->on_written(offset, size, std::unexpected(*error_));
  const std::uint32_t id = add({.write = std::move(target), .offset = offset, .size = size});
  Bytes head;
  encode_write_header(head, {.id = id, .handle = handle, .offset = offset, .data_bytes = size});
  std::memcpy(chunk.bytes.get(), head.data(), head.size());
  chunk.begin = 0;
  chunk.end = head.size() + size;
  push(std::move(chunk));
}

// ---- requests

std::uint32_t Client::add(Pending pending) {
  while (pending_.contains(next_id_)) ++next_id_;
  pending_.emplace(next_id_, std::move(pending));
  return next_id_++;
}

void Client::send(const Request& request, std::uint32_t id) {
  Bytes packet;
  encode_request(packet, id, request);
  if (!output_.empty() && output_.back().capacity - output_.back().end >= packet.size()) {
    Chunk& last = output_.back();
    std::memcpy(last.bytes.get() + last.end, packet.data(), packet.size());
    last.end += packet.size();
    output_bytes_ += packet.size();
    return;
  }
  Chunk chunk = make_chunk(std::max(kSmallChunk, packet.size()));
  std::memcpy(chunk.bytes.get(), packet.data(), packet.size());
  chunk.end = packet.size();
  push(std::move(chunk));
}

void Client::request(const Request& request, ReplyHandler handler) {
  if (error_) return handler(std::unexpected(*error_));
  send(request, add({.handler = std::move(handler)}));
}

void Client::read(BytesView handle, std::uint64_t offset, std::uint32_t size, std::shared_ptr<ReadTarget> target) {
  if (error_) return target->on_read(offset, size, std::unexpected(*error_));
  send(Read{.handle = handle, .offset = offset, .length = size},
       add({.read = std::move(target), .offset = offset, .size = size}));
}

void Client::fail_pending(Pending pending, const Error& why) {
  if (pending.read) return pending.read->on_read(pending.offset, pending.size, std::unexpected(why));
  if (pending.write) return pending.write->on_written(pending.offset, pending.size, std::unexpected(why));
  if (pending.handler) pending.handler(std::unexpected(why));
}

void Client::end(const Error& why) {
  if (error_) return;
  error_ = why;
  become_ready(std::unexpected(why));
  if (data_) fail_pending(*std::exchange(data_, std::nullopt), why);
  auto waiting = std::exchange(pending_, {});
  for (auto& [id, pending] : waiting) fail_pending(std::move(pending), why);
  output_.clear();
  output_bytes_ = 0;
  for (auto& call : std::exchange(waiting_for_room_, {})) call();
}

// ---- the handshake

void Client::become_ready(Status status) {
  if (auto told = std::exchange(ready_, nullptr)) told(std::move(status));
}

void Client::start(ReadyHandler ready) {
  ready_ = std::move(ready);
  send(Init{}, 0);
}

Status Client::on_version(const VersionReply& version) {
  if (versioned_) return fail(ErrorCode::kProtocol, "the SFTP server told its version twice");
  if (version.version != kProtocolVersion) {
    return fail(ErrorCode::kProtocol, "the server speaks SFTP version {}, and version {} is needed", version.version,
                kProtocolVersion);
  }
  versioned_ = true;
  server_.extensions = version.extensions.items;
  if (server_.has(LimitsRequest::kExtension))
    ask_limits();
  else
    become_ready({});
  return {};
}

void Client::ask_limits() {
  request(LimitsRequest{}, [this](Result<Reply> reply) {
    const auto answer = expect<ExtendedReply>(reply);
    const auto limits = answer ? decode_limits((*answer)->data.bytes) : std::unexpected(answer.error());
    if (limits) {
      const auto bounded = [](std::uint64_t said, std::uint32_t otherwise) {
        return said == 0 ? otherwise : static_cast<std::uint32_t>(std::clamp<std::uint64_t>(said, 1024, kMostBytes));
      };
      server_.max_read_bytes = bounded(limits->max_read, server_.max_read_bytes);
      server_.max_write_bytes = bounded(limits->max_write, server_.max_write_bytes);
      if (limits->max_handles > 0) {
        server_.max_open_files = std::min<std::uint64_t>(limits->max_handles, kMostOpenFiles);
      }
    }
    if (!error_) become_ready({});  // without an answer the draft's sizes hold
  });
}

// ---- input

void Client::feed(BytesView bytes) {
  if (error_) return;
  if (auto status = scanner_.feed(bytes); !status) end(status.error());
}

std::size_t Client::wanted(std::uint8_t type, std::size_t packet_bytes) {
  return PacketType{type} == PacketType::kData ? kDataHead : packet_bytes;
}

Status Client::on_packet(BytesView first_bytes, std::size_t packet_bytes) {
  if (PacketType{first_bytes[0]} == PacketType::kData) return on_data_head(first_bytes, packet_bytes);
  MEZ_TRY(auto packet, decode_reply(first_bytes));
  if (const auto* version = std::get_if<VersionReply>(&packet.reply)) return on_version(*version);
  auto entry = pending_.find(packet.id);
  if (entry == pending_.end()) return fail(ErrorCode::kProtocol, "the SFTP server answered what was not asked");
  Pending pending = std::move(entry->second);
  pending_.erase(entry);
  if (pending.handler) {
    pending.handler(std::move(packet.reply));
  } else if (pending.write) {
    pending.write->on_written(pending.offset, pending.size, status_of(std::move(packet.reply)));
  } else if (pending.read) {
    const auto* status = std::get_if<StatusReply>(&packet.reply);
    if (status == nullptr || status->code == StatusCode::kOk) {
      return fail(ErrorCode::kProtocol, "the SFTP server answered a read without data");
    }
    pending.read->on_read(pending.offset, pending.size,
                          status->code == StatusCode::kEof ? Result<std::uint32_t>(0u)
                                                           : Result<std::uint32_t>(std::unexpected(error_of(*status))));
  }
  return {};
}

Status Client::on_data_head(BytesView head, std::size_t packet_bytes) {
  Reader in(head);
  in.byte();
  const std::uint32_t id = in.u32();
  const std::uint32_t size = in.u32();
  if (in.failed() || size != packet_bytes - kDataHead) return fail(ErrorCode::kProtocol, "malformed SSH_FXP_DATA");
  auto entry = pending_.find(id);
  if (entry == pending_.end() || !entry->second.read || size > entry->second.size) {
    return fail(ErrorCode::kProtocol, "the SFTP server sent data that was not asked for");
  }
  data_ = std::move(entry->second);
  pending_.erase(entry);
  data_bytes_ = size;
  data_got_ = 0;
  if (size == 0) finish_data();
  return {};
}

void Client::on_rest(BytesView piece) {
  if (!data_) return;
  auto target = data_->read;
  const std::uint64_t offset = data_->offset + data_got_;
  data_got_ += static_cast<std::uint32_t>(piece.size());
  target->on_piece(offset, piece);
  if (data_ && data_got_ == data_bytes_) finish_data();
}

void Client::finish_data() {
  const Pending done = *std::exchange(data_, std::nullopt);
  done.read->on_read(done.offset, done.size, data_bytes_);
}

// ---- what replies mean

Status status_of(const Result<Reply>& reply) {
  auto status = expect<StatusReply>(reply);
  if (!status) return std::unexpected(status.error());
  if ((*status)->code != StatusCode::kOk) return std::unexpected(error_of(**status));
  return {};
}

Result<std::string> handle_of(const Result<Reply>& reply) {
  MEZ_TRY(const auto* handle, expect<HandleReply>(reply));
  if (handle->handle.size() > kMaxHandleBytes) {
    return fail(ErrorCode::kProtocol, "the SFTP server gave a handle of {} bytes", handle->handle.size());
  }
  return to_text(handle->handle);
}

Result<Attributes> attributes_of(const Result<Reply>& reply) {
  MEZ_TRY(const auto* attributes, expect<AttrsReply>(reply));
  return attributes->attributes;
}

Result<std::vector<NameEntry>> names_of(Result<Reply> reply) {
  MEZ_CHECK(expect<NameReply>(reply));
  return std::move(std::get<NameReply>(*reply).entries.items);
}

bool is_end(const Result<Reply>& reply) {
  if (!reply) return false;
  const auto* status = std::get_if<StatusReply>(&*reply);
  return status != nullptr && status->code == StatusCode::kEof;
}

}  // namespace mezite::ssh::sftp
