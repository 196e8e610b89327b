#include "recording/s3_store.hh"

#include <unistd.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <vector>

#include "base/file.hh"
#include "recording/bulk_file.hh"
#include "recording/header.hh"

namespace mezite::recording {
namespace {

using Json = nlohmann::json;

constexpr std::size_t kMaxReadBytes = std::size_t{512} << 10;
constexpr std::string_view kSuffix = ".mezrec";
constexpr std::size_t kMaxProgressBytes = std::size_t{4} << 20;

Result<std::string> read_part(BulkFile& file, std::uint64_t offset, std::size_t size) {
  std::string part;
  part.reserve(size);
  while (part.size() < size) {
    MEZ_TRY(const BytesView piece, file.read(offset + part.size(), size - part.size()));
    if (piece.empty()) return fail(ErrorCode::kIo, "a recording became shorter while it was read");
    part += as_text(piece);
  }
  return part;
}

aws::S3::Metadata to_metadata(const ObjectFacts& facts) {
  aws::S3::Metadata metadata;
  if (!facts.sha256.empty()) metadata.emplace_back("sha256", facts.sha256);
  if (facts.ended_at) metadata.emplace_back("ended-at", to_rfc3339(*facts.ended_at));
  return metadata;
}

ObjectFacts from_metadata(const aws::S3::Metadata& metadata) {
  ObjectFacts facts;
  for (const auto& [name, value] : metadata) {
    if (name == "sha256" && value.size() == 64 && value.find_first_not_of("0123456789abcdef") == value.npos) {
      facts.sha256 = value;
    } else if (name == "ended-at") {
      if (auto ended = parse_rfc3339(value)) facts.ended_at = *ended;
    }
  }
  return facts;
}

}  // namespace

// An upload that has been begun, as its file has it: {"upload_id", "part_bytes", "size", "etags": […]}.
struct S3Store::Progress {
  std::string upload_id;
  std::uint64_t part_bytes = 0;
  std::uint64_t size = 0;
  std::vector<std::string> etags;

  static Progress load(const std::filesystem::path& path) {
    Progress progress;
    std::error_code error;
    if (!std::filesystem::exists(path, error)) return progress;
    const auto content = read_file(path, kMaxProgressBytes);
    const auto json = content ? Json::parse(as_text(*content), nullptr, false) : Json();
    if (!json.is_object()) return progress;
    const auto id = json.find("upload_id"), part = json.find("part_bytes"), size = json.find("size"),
               etags = json.find("etags");
    const bool whole = id != json.end() && id->is_string() && part != json.end() && part->is_number_unsigned() &&
                       size != json.end() && size->is_number_unsigned() && etags != json.end() && etags->is_array();
    if (!whole) return progress;
    for (const auto& etag : *etags) {
      if (!etag.is_string()) return {};
      progress.etags.push_back(etag.get<std::string>());
    }
    progress.upload_id = id->get<std::string>();
    progress.part_bytes = part->get<std::uint64_t>();
    progress.size = size->get<std::uint64_t>();
    return progress;
  }
  Status save(const std::filesystem::path& path) const {
    const Json json{{"upload_id", upload_id}, {"part_bytes", part_bytes}, {"size", size}, {"etags", etags}};
    return write_file(path, as_bytes(json.dump()));
  }
};

S3Store::S3Store(std::unique_ptr<aws::S3> s3, std::string prefix, std::uint64_t part_bytes)
    : s3_(std::move(s3)), prefix_(std::move(prefix)), part_bytes_(std::max(part_bytes, aws::S3::kMinPartBytes)) {
  while (prefix_.starts_with('/')) prefix_.erase(0, 1);
  if (!prefix_.empty() && !prefix_.ends_with('/')) prefix_ += '/';
}

std::string S3Store::key_of(std::string_view session_id) const {
  return fmt::format("{}{}{}", prefix_, session_id, kSuffix);
}

Status S3Store::store(std::string_view session_id, const std::filesystem::path& file,
                      const std::filesystem::path& progress, const ObjectFacts& facts) {
  if (!is_session_id(session_id)) return fail(ErrorCode::kInvalidArgument, "that is no session id");
  MEZ_TRY(BulkFile bulk, BulkFile::open(file));
  MEZ_TRY(const std::uint64_t size, bulk.size());
  const std::string key = key_of(session_id);
  if (size > part_bytes_) return store_parts(key, bulk, size, progress, to_metadata(facts));
  MEZ_TRY(const std::string body, read_part(bulk, 0, static_cast<std::size_t>(size)));
  return s3_->put(key, body, to_metadata(facts));
}

Status S3Store::store_parts(const std::string& key, BulkFile& file, std::uint64_t size,
                            const std::filesystem::path& progress_file, const aws::S3::Metadata& metadata) {
  Progress progress = Progress::load(progress_file);
  const std::uint64_t part_bytes = std::max(part_bytes_, (size + aws::S3::kMaxParts - 1) / aws::S3::kMaxParts);
  const std::uint64_t parts = (size + part_bytes - 1) / part_bytes;
  if (progress.upload_id.empty() || progress.part_bytes != part_bytes || progress.size != size ||
      progress.etags.size() > parts) {
    if (!progress.upload_id.empty()) (void)!s3_->abort_upload(key, progress.upload_id);
    progress = {.part_bytes = part_bytes, .size = size};
    MEZ_TRY(progress.upload_id, s3_->begin_upload(key, metadata));
    MEZ_CHECK(progress.save(progress_file));
  }
  // What the store does not know any more (it may forget unfinished uploads) is begun anew the next time.
  const auto forget_if_gone = [&](const Error& error) -> std::unexpected<Error> {
    if (error.code == ErrorCode::kNotFound) ::unlink(progress_file.c_str());
    return std::unexpected(error);
  };
  while (progress.etags.size() < parts) {
    if (interrupted_) return fail(ErrorCode::kUnavailable, "the hub is stopping");
    const std::uint64_t offset = progress.etags.size() * part_bytes;
    MEZ_TRY(const std::string body,
            read_part(file, offset, static_cast<std::size_t>(std::min(part_bytes, size - offset))));
    auto etag = s3_->put_part(key, progress.upload_id, progress.etags.size() + 1, body);
    if (!etag) return forget_if_gone(etag.error());
    progress.etags.push_back(std::move(*etag));
    MEZ_CHECK(progress.save(progress_file));
  }
  if (auto finished = s3_->finish_upload(key, progress.upload_id, progress.etags); !finished) {
    return forget_if_gone(finished.error());
  }
  ::unlink(progress_file.c_str());
  return {};
}

Result<ReadChunk> S3Store::read(std::string_view session_id, std::uint64_t offset, std::size_t max_bytes) {
  if (!is_session_id(session_id)) return fail(ErrorCode::kInvalidArgument, "that is no session id");
  MEZ_TRY(auto range, s3_->get(key_of(session_id), offset, std::min(max_bytes, kMaxReadBytes)));
  const bool eof = offset + range.data.size() >= range.object_bytes;
  return ReadChunk{.data = std::move(range.data), .eof = eof};
}

Status S3Store::remove(std::string_view session_id) {
  if (!is_session_id(session_id)) return fail(ErrorCode::kInvalidArgument, "that is no session id");
  return s3_->remove(key_of(session_id));
}

Result<ObjectHead> S3Store::head(std::string_view session_id, std::size_t max_bytes) {
  if (!is_session_id(session_id)) return fail(ErrorCode::kInvalidArgument, "that is no session id");
  MEZ_TRY(auto range, s3_->get(key_of(session_id), 0, std::min(max_bytes, kMaxReadBytes)));
  return ObjectHead{
      .data = std::move(range.data), .size_bytes = range.object_bytes, .facts = from_metadata(range.metadata)};
}

Result<ObjectPage> S3Store::list(std::string_view after_session_id, std::string_view next) {
  MEZ_TRY(auto listed, s3_->list(prefix_, after_session_id.empty() ? "" : key_of(after_session_id), next));
  ObjectPage page{.session_ids = {}, .others = 0, .next = std::move(listed.next)};
  for (std::string_view key : listed.keys) {
    const bool named =
        key.starts_with(prefix_) && key.ends_with(kSuffix) && key.size() > prefix_.size() + kSuffix.size();
    if (named) key = key.substr(prefix_.size(), key.size() - prefix_.size() - kSuffix.size());
    if (named && is_session_id(key)) {
      page.session_ids.emplace_back(key);
    } else {
      ++page.others;
    }
  }
  return page;
}

}  // namespace mezite::recording
