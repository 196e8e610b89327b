#include "recording/storage.hh"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <map>
#include <mutex>
#include <nlohmann/json.hpp>

#include "base/file.hh"
#include "base/log.hh"
#include "base/text.hh"
#include "base/unique_fd.hh"
#include "recording/bulk_file.hh"
#include "recording/examine.hh"
#include "recording/folder_lock.hh"

namespace mezite::recording {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

constexpr std::size_t kMaxChunkBytes = std::size_t{4} << 20;
constexpr std::size_t kMaxReadBytes = std::size_t{1} << 20;
constexpr std::size_t kMaxIndexBytes = std::size_t{1} << 30;

struct Entry {
  std::mutex mutex;  // of this recording's file and fields
  StoredRecording info;
  bool gone = false;
};

Result<UniqueFd> open_file(const fs::path& path, int flags) {
  UniqueFd fd(::open(path.c_str(), flags | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!fd) return fail_errno(errno, fmt::format("opening {}", path.native()));
  return fd;
}

Result<std::uint64_t> size_of(int fd) {
  struct stat info{};
  if (::fstat(fd, &info) != 0) return fail_errno(errno, "reading a recording's size");
  return static_cast<std::uint64_t>(info.st_size);
}

// The bytes that are held are those that came again.
Status compare(BulkFile& file, std::uint64_t offset, BytesView data) {
  while (!data.empty()) {
    MEZ_TRY(const BytesView held, file.read(offset, data.size()));
    if (held.empty() || !std::ranges::equal(held, data.first(held.size()))) {
      return fail(ErrorCode::kCorrupt, "the bytes from {} on differ from those that the hub holds", offset);
    }
    offset += held.size();
    data = data.subspan(held.size());
  }
  return {};
}

// What answers a repetition of one that is complete. One that does not verify is not what another copy may go for,
// unless that is the same: it may have been altered here.
Result<PutReceipt> receipt_again(const StoredRecording& info, const PutRequest& request) {
  if (!request.sha256.empty() && to_hex(request.sha256) != info.sha256) {
    return fail(ErrorCode::kCorrupt, "this recording is complete, with another hash");
  }
  return PutReceipt{.size = info.size_bytes, .verified = info.problem.empty() || !request.sha256.empty()};
}

}  // namespace

struct LocalStorage::State {
  fs::path folder;
  UniqueFd lock;
  std::mutex mutex;  // of the map and the index file; taken after an entry's, never before
  UniqueFd index;
  std::map<std::string, std::shared_ptr<Entry>, std::less<>> entries;
  bool index_was_missing = false;
  std::vector<std::string> removed;  // by the index; while it is read

  ObjectStore* store = nullptr;
  const Identity* recording_key = nullptr;

  fs::path path_of(std::string_view id) const { return folder / (std::string(id) + std::string(kFileSuffix)); }

  std::shared_ptr<Entry> find(std::string_view id) {
    const std::lock_guard guard(mutex);
    const auto found = entries.find(id);
    return found == entries.end() ? nullptr : found->second;
  }

  Status append_index(const Json& line) {
    const std::string text = line.dump(-1, ' ', true, Json::error_handler_t::replace) + "\n";
    const std::lock_guard guard(mutex);
    MEZ_TRY(const std::uint64_t size, size_of(index.get()));
    if (auto status = write_all(index.get(), as_bytes(text)); !status) {
      // Half a line must not be glued to the next one.
      if (::ftruncate(index.get(), static_cast<off_t>(size)) != 0) log::error("the recordings' index could not be cut");
      return wrap(status.error(), "writing the recordings' index");
    }
    if (::fdatasync(index.get()) != 0) return fail_errno(errno, "syncing the recordings' index");
    return {};
  }

  // Lines of the index: open (header, owner), complete (size, sha256, end), archived, remove, discard; adopt: open and
  // what follows it in one.
  void apply(const Json& line) {
    const auto text = [&](const char* key) {
      const auto found = line.find(key);
      return found != line.end() && found->is_string() ? found->get<std::string>() : std::string();
    };
    const auto flag = [&](const char* key) {
      const auto found = line.find(key);
      return found != line.end() && found->is_boolean() && found->get<bool>();
    };
    const std::string op = text("op");
    const std::string id = text("session_id");
    if (!is_session_id(id)) return;
    if (op == "open" || op == "adopt") {
      auto header = parse_header(line.contains("header") ? line["header"].dump() : "");
      if (!header) return;
      auto entry = std::make_shared<Entry>();
      entry->info.header = *std::move(header);
      entry->info.owner = text("owner");
      entries[id] = std::move(entry);
    }
    if (op == "complete" || op == "adopt") {
      const auto found = entries.find(id);
      if (found == entries.end()) return;
      StoredRecording& info = found->second->info;
      info.complete = op == "complete" || flag("complete");
      info.archived = flag("archived");
      info.problem = text("problem");
      info.sha256 = text("sha256");
      if (const auto size = line.find("size"); size != line.end() && size->is_number_unsigned()) {
        info.size_bytes = size->get<std::uint64_t>();
      }
      if (auto ended = parse_rfc3339(text("ended_at"))) info.ended_at = *ended;
    } else if (op == "archived") {
      if (const auto found = entries.find(id); found != entries.end()) found->second->info.archived = true;
    } else if (op == "remove" || op == "discard") {
      entries.erase(id);
      if (op == "remove") removed.push_back(id);
    }
  }

  Status load() {
    const fs::path path = folder / "index.jsonl";
    Bytes content;
    std::error_code error;
    index_was_missing = !fs::exists(path, error);
    if (!index_was_missing) {
      MEZ_TRY(content, read_file(path, kMaxIndexBytes));
    }
    const std::string_view text = as_text(content);
    const std::size_t whole = text.rfind('\n') == text.npos ? 0 : text.rfind('\n') + 1;
    for (std::size_t at = 0; at < whole;) {
      const std::size_t end = text.find('\n', at);
      const auto line = Json::parse(text.substr(at, end - at), nullptr, false);
      if (line.is_object()) {
        apply(line);
      } else {
        log::warn("a line of the recordings' index is not JSON", {{"offset", at}});
      }
      at = end + 1;
    }
    MEZ_TRY(index, open_file(path, O_WRONLY | O_CREAT | O_APPEND));
    if (whole != text.size() && ::ftruncate(index.get(), static_cast<off_t>(whole)) != 0) {
      return fail_errno(errno, "cutting the torn line of the recordings' index");
    }
    for (const std::string& id : std::exchange(removed, {})) {
      if (!entries.contains(id)) fs::remove(path_of(id), error);  // a crash came between the line and this
    }
    for (auto& [id, entry] : entries) {
      if (entry->info.archived) {
        fs::remove(path_of(id), error);  // as above
        continue;
      }
      const auto size = fs::file_size(path_of(id), error);
      const std::uint64_t held = error ? 0 : size;
      if (entry->info.complete && held < entry->info.size_bytes) {
        // A copy that was made while the recording came in has the index of a moment later.
        entry->info.complete = false;
        entry->info.problem = fmt::format("{} of its {} bytes are here", held, entry->info.size_bytes);
        log::warn("a recording is shorter than the index says",
                  {{"session_id", id}, {"size", held}, {"expected", entry->info.size_bytes}});
      }
      entry->info.size_bytes = held;
    }
    return sync_directory(folder);
  }

  Result<std::shared_ptr<Entry>> begin(std::string_view owner, const PutRequest& request) {
    auto header = parse_header(request.header_json);
    if (!header) return fail(ErrorCode::kInvalidArgument, "{}", header.error().message);
    if (header->session_id != request.session_id) {
      return fail(ErrorCode::kInvalidArgument, "the recording's header is of another session");
    }
    auto entry = std::make_shared<Entry>();
    entry->info.header = *header;
    entry->info.owner = owner;
    const std::lock_guard entry_guard(entry->mutex);  // nobody writes to it before its line is in the index
    {
      const std::lock_guard guard(mutex);
      const auto [found, is_new] = entries.emplace(std::string(request.session_id), entry);
      if (!is_new) return found->second;
    }
    // The index first: a file without a line would be nobody's.
    auto status = append_index({{"op", "open"},
                                {"session_id", header->session_id},
                                {"owner", owner},
                                {"header", Json::parse(header_to_json(*header), nullptr, false)}});
    if (!status) {
      entry->gone = true;
      const std::lock_guard guard(mutex);
      entries.erase(header->session_id);
      return std::unexpected(status.error());
    }
    return entry;
  }

  Result<PutReceipt> complete(Entry& entry, BulkFile& file, const PutRequest& request) {
    const Identity* key = nullptr;
    {
      const std::lock_guard guard(mutex);
      key = recording_key;
    }
    const Origin origin{.hub = key, .announced = &entry.info.header, .chain_id = request.chain_id};
    MEZ_TRY(const Examined examined, examine(pieces_of(file, entry.info.size_bytes), origin));
    const std::string& problem = examined.problem.empty() ? examined.unopened : examined.problem;
    const std::string sha256 = to_hex(examined.sha256);
    if (!std::ranges::equal(examined.sha256, request.sha256)) {
      // What is held is wrong and can't be mended by appending: it goes aside, and the node sends it anew.
      MEZ_CHECK(append_index({{"op", "discard"}, {"session_id", entry.info.header.session_id}}));
      MEZ_CHECK(make_directories(folder / "aside", 0700));
      const fs::path path = path_of(request.session_id);
      std::error_code error;
      fs::rename(path, folder / "aside" / path.filename(), error);
      entry.gone = true;
      const std::lock_guard guard(mutex);
      entries.erase(entry.info.header.session_id);
      return fail(ErrorCode::kCorrupt, "the recording's hash does not agree with what came; send it again");
    }
    Json line{{"op", "complete"},
              {"session_id", entry.info.header.session_id},
              {"size", entry.info.size_bytes},
              {"sha256", sha256}};
    entry.info.problem = problem;
    if (!problem.empty()) line["problem"] = problem;
    if (examined.verified.end) {
      entry.info.ended_at = entry.info.header.started_at + examined.verified.duration;
      line["ended_at"] = to_rfc3339(*entry.info.ended_at);
    }
    MEZ_CHECK(append_index(line));
    entry.info.sha256 = sha256;
    entry.info.complete = true;
    return PutReceipt{.size = entry.info.size_bytes, .verified = true};
  }
};

LocalStorage::LocalStorage(std::unique_ptr<State> state) : state_(std::move(state)) {}
LocalStorage::LocalStorage(LocalStorage&&) noexcept = default;
LocalStorage& LocalStorage::operator=(LocalStorage&&) noexcept = default;
LocalStorage::~LocalStorage() = default;

Result<LocalStorage> LocalStorage::open(const fs::path& folder) {
  auto state = std::make_unique<State>();
  state->folder = folder;
  MEZ_CHECK(make_directories(folder, 0700));
  MEZ_TRY(state->lock, lock_folder(folder));
  MEZ_CHECK(state->load());
  return LocalStorage(std::move(state));
}

Result<PutReceipt> LocalStorage::put(std::string_view owner, const PutRequest& request) {
  if (!is_session_id(request.session_id)) {
    return fail(ErrorCode::kInvalidArgument, "a recording is named by its session id, a UUID in lower case");
  }
  if (request.data.size() > kMaxChunkBytes) {
    return fail(ErrorCode::kInvalidArgument, "a chunk has {} bytes; at most {} are taken", request.data.size(),
                kMaxChunkBytes);
  }
  if (request.last && request.sha256.size() != 32) {
    return fail(ErrorCode::kInvalidArgument, "the last chunk needs the SHA-256 of the recording");
  }
  auto entry = state_->find(request.session_id);
  if (!entry) {
    if (request.offset > 0) {
      return fail(ErrorCode::kFailedPrecondition, "the hub holds 0 bytes of this recording; go on from there");
    }
    if (request.data.empty() && !request.last) return PutReceipt{};
    MEZ_TRY(entry, state_->begin(owner, request));
  }
  const std::lock_guard guard(entry->mutex);
  StoredRecording& info = entry->info;
  if (entry->gone) return fail(ErrorCode::kUnavailable, "the recording was removed at this moment; try again");
  if (info.owner != owner) return fail(ErrorCode::kPermissionDenied, "this recording belongs to another node");
  if (request.offset > info.size_bytes) {
    return fail(ErrorCode::kFailedPrecondition, "the hub holds {} bytes of this recording; go on from there",
                info.size_bytes);
  }
  if (info.archived) return receipt_again(info, request);  // its bytes are not here to be compared
  MEZ_TRY(BulkFile file, BulkFile::open(state_->path_of(request.session_id), BulkFile::Access::kAppend));
  // The file may hold more than was ever acknowledged, when a crash came before an answer: that counts as held.
  MEZ_TRY(info.size_bytes, file.size());
  if (request.offset > info.size_bytes) {
    return fail(ErrorCode::kCorrupt, "the hub has lost bytes of this recording; ask its administrator");
  }
  const auto known =
      static_cast<std::size_t>(std::min<std::uint64_t>(request.data.size(), info.size_bytes - request.offset));
  MEZ_CHECK(compare(file, request.offset, request.data.first(known)));
  const BytesView fresh = request.data.subspan(known);
  if (info.complete) {
    if (!fresh.empty()) return fail(ErrorCode::kCorrupt, "this recording is complete; nothing can be added");
    return receipt_again(info, request);
  }
  if (!fresh.empty()) {
    const bool first = info.size_bytes == 0;
    if (auto status = file.append(info.size_bytes, fresh); !status) {
      if (!file.truncate(info.size_bytes)) {
        log::error("a recording could not be cut after a failed write", {{"session_id", request.session_id}});
      }
      return wrap(status.error(), "storing a recording");
    }
    if (auto status = file.sync(); !status) return wrap(status.error(), "storing a recording");
    if (first) MEZ_CHECK(sync_directory(state_->folder));
    info.size_bytes += fresh.size();
  }
  if (!request.last) return PutReceipt{.size = info.size_bytes};
  if (request.offset + request.data.size() != info.size_bytes) {
    return fail(ErrorCode::kCorrupt, "the hub holds {} bytes of a recording that ends at {}", info.size_bytes,
                request.offset + request.data.size());
  }
  return state_->complete(*entry, file, request);
}

Result<ReadChunk> LocalStorage::read(std::string_view session_id, std::uint64_t offset, std::size_t max_bytes) const {
  const auto entry = is_session_id(session_id) ? state_->find(session_id) : nullptr;
  if (!entry) return fail(ErrorCode::kNotFound, "no recording of the session '{}'", printable(session_id));
  if (offset > std::uint64_t{1} << 62) return fail(ErrorCode::kInvalidArgument, "the offset is out of range");
  bool archived = false;
  ObjectStore* store = nullptr;
  std::optional<BulkFile> file;
  {
    const std::lock_guard guard(entry->mutex);  // its file goes under this lock
    archived = entry->info.archived;
    if (!archived) {
      if (auto opened = BulkFile::open(state_->path_of(session_id))) file = std::move(*opened);
    }
    const std::lock_guard map_guard(state_->mutex);
    store = state_->store;
  }
  if (archived && store == nullptr) {
    return fail(ErrorCode::kFailedPrecondition,
                "this recording is in S3; set recording.s3.bucket and .region as they were, so that it can be read");
  }
  if (archived) return store->read(session_id, offset, std::clamp<std::size_t>(max_bytes, 1, kMaxReadBytes));
  if (!file) return ReadChunk{.eof = true};  // begun, nothing stored yet
  ReadChunk chunk;
  MEZ_TRY(const BytesView piece, file->read(offset, std::clamp<std::size_t>(max_bytes, 1, kMaxReadBytes)));
  chunk.data = to_bytes(piece);
  MEZ_TRY(const std::uint64_t size, file->size());
  chunk.eof = offset + piece.size() >= size;
  return chunk;
}

Result<StoredRecording> LocalStorage::get(std::string_view session_id) const {
  const auto entry = is_session_id(session_id) ? state_->find(session_id) : nullptr;
  if (!entry) return fail(ErrorCode::kNotFound, "no recording of the session '{}'", printable(session_id));
  const std::lock_guard guard(entry->mutex);
  return entry->info;
}

std::vector<StoredRecording> LocalStorage::list(std::string_view user, std::string_view node, std::size_t limit) const {
  std::vector<std::shared_ptr<Entry>> all;
  {
    const std::lock_guard guard(state_->mutex);
    for (const auto& [id, entry] : state_->entries) all.push_back(entry);
  }
  std::vector<StoredRecording> found;
  for (const auto& entry : all) {
    const std::lock_guard guard(entry->mutex);
    const Header& header = entry->info.header;
    if (entry->gone || (!user.empty() && header.user != user)) continue;
    if (!node.empty() && header.node != node && header.node_id != node) continue;
    found.push_back(entry->info);
  }
  std::ranges::sort(found, [](const auto& a, const auto& b) { return a.header.started_at > b.header.started_at; });
  if (limit > 0 && found.size() > limit) found.resize(limit);
  return found;
}

Status LocalStorage::remove(std::string_view session_id) {
  const auto entry = is_session_id(session_id) ? state_->find(session_id) : nullptr;
  if (!entry) return fail(ErrorCode::kNotFound, "no recording of the session '{}'", printable(session_id));
  const std::lock_guard guard(entry->mutex);
  if (entry->gone) return {};
  if (entry->info.archived) {
    if (state_->store == nullptr) {
      return fail(
          ErrorCode::kFailedPrecondition,
          "this recording is in S3; set recording.s3.bucket and .region as they were, so that it can be removed");
    }
    MEZ_CHECK(state_->store->remove(session_id));
  }
  MEZ_CHECK(state_->append_index({{"op", "remove"}, {"session_id", session_id}}));
  entry->gone = true;
  const int failed = ::unlink(state_->path_of(session_id).c_str()) == 0 || errno == ENOENT ? 0 : errno;
  {
    // After the file: one without an entry is taken for one that the index has lost.
    const std::lock_guard map_guard(state_->mutex);
    state_->entries.erase(std::string(session_id));
  }
  if (failed != 0) return fail_errno(failed, "removing a recording");
  return sync_directory(state_->folder);
}

void LocalStorage::set_recording_key(const Identity* key) {
  const std::lock_guard guard(state_->mutex);
  state_->recording_key = key;
}

void LocalStorage::set_object_store(ObjectStore* store) {
  const std::lock_guard guard(state_->mutex);
  state_->store = store;
}

fs::path LocalStorage::path_of(std::string_view session_id) const { return state_->path_of(session_id); }

std::vector<StoredRecording> LocalStorage::unarchived() const {
  std::vector<StoredRecording> all = list();
  std::erase_if(all, [](const StoredRecording& one) { return !one.complete || one.archived; });
  std::ranges::reverse(all);
  return all;
}

Status LocalStorage::mark_archived(std::string_view session_id) {
  const auto entry = is_session_id(session_id) ? state_->find(session_id) : nullptr;
  if (!entry) return fail(ErrorCode::kNotFound, "no recording of the session '{}'", printable(session_id));
  const std::lock_guard guard(entry->mutex);
  // Removed while it was stored: the object goes as well, or nobody would ever know of it.
  if (entry->gone) return state_->store == nullptr ? Status() : state_->store->remove(session_id);
  MEZ_CHECK(state_->append_index({{"op", "archived"}, {"session_id", session_id}}));
  entry->info.archived = true;
  if (::unlink(state_->path_of(session_id).c_str()) != 0 && errno != ENOENT) {
    return fail_errno(errno, "removing the local copy of a recording");
  }
  return sync_directory(state_->folder);
}

bool LocalStorage::index_was_missing() const { return state_->index_was_missing; }

Result<LocalStorage::Unindexed> LocalStorage::unindexed() const {
  std::error_code error;
  Unindexed found;
  fs::directory_iterator at(state_->folder, error);
  for (; !error && at != fs::directory_iterator(); at.increment(error)) {
    const std::string id = at->path().stem().native();
    if (at->path().extension() != kFileSuffix || !is_session_id(id)) continue;
    if (state_->find(id)) {
      ++found.known;
    } else {
      found.session_ids.push_back(id);
    }
  }
  if (error) return fail(ErrorCode::kIo, "reading {}: {}", state_->folder.native(), error.message());
  std::ranges::sort(found.session_ids);
  return found;
}

Status LocalStorage::adopt(const StoredRecording& recording) {
  const std::string& id = recording.header.session_id;
  auto entry = std::make_shared<Entry>();
  entry->info = recording;
  const std::lock_guard guard(entry->mutex);  // nobody writes to it before its line is in the index
  {
    const std::lock_guard map_guard(state_->mutex);
    if (!state_->entries.emplace(id, entry).second) {
      return fail(ErrorCode::kAlreadyExists, "the index has a recording of this session");
    }
  }
  const auto take = [&]() -> Status {
    if (!recording.archived) {
      MEZ_TRY(const UniqueFd fd, open_file(state_->path_of(id), O_RDONLY));
      MEZ_TRY(const std::uint64_t size, size_of(fd.get()));
      if (size != recording.size_bytes) {
        return fail(ErrorCode::kFailedPrecondition, "the file has changed while it was read");
      }
    }
    Json line{{"op", "adopt"},
              {"session_id", id},
              {"owner", recording.owner},
              {"header", Json::parse(header_to_json(recording.header), nullptr, false)},
              {"complete", recording.complete},
              {"archived", recording.archived},
              {"size", recording.size_bytes},
              {"sha256", recording.sha256}};
    if (!recording.problem.empty()) line["problem"] = recording.problem;
    if (recording.ended_at) line["ended_at"] = to_rfc3339(*recording.ended_at);
    return state_->append_index(line);
  };
  auto taken = take();
  if (!taken) {
    entry->gone = true;
    const std::lock_guard map_guard(state_->mutex);
    state_->entries.erase(id);
  }
  return taken;
}

}  // namespace mezite::recording
