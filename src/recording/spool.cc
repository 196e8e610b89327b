#include "recording/spool.hh"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <optional>
#include <system_error>

#include "base/file.hh"
#include "base/log.hh"
#include "recording/folder_lock.hh"
#include "recording/reader.hh"

namespace mezite::recording {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kLiveSuffix = ".live.mezrec";

// The session id of "<id><suffix>"; empty for any other name.
std::string id_of(const fs::path& path, std::string_view suffix) {
  const std::string name = path.filename().native();
  if (!name.ends_with(suffix)) return {};
  std::string id = name.substr(0, name.size() - suffix.size());
  return is_session_id(id) ? id : std::string();
}

Result<std::vector<fs::path>> files_in(const fs::path& folder) {
  std::vector<fs::path> files;
  std::error_code error;
  for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) {
    std::error_code ignored;
    if (it->is_regular_file(ignored) && !it->is_symlink(ignored)) files.push_back(it->path());
  }
  if (error) return fail(ErrorCode::kIo, "reading the folder {}: {}", folder.native(), error.message());
  return files;
}

Status move_file(const fs::path& from, const fs::path& to) {
  if (::rename(from.c_str(), to.c_str()) != 0) return fail_errno(errno, fmt::format("moving {}", from.native()));
  MEZ_CHECK(sync_directory(to.parent_path()));
  return from.parent_path() == to.parent_path() ? Status{} : sync_directory(from.parent_path());
}

Status cut(const fs::path& path, std::uint64_t size) {
  const UniqueFd fd(::open(path.c_str(), O_WRONLY | O_CLOEXEC | O_NOFOLLOW));
  if (!fd || ::ftruncate(fd.get(), static_cast<off_t>(size)) != 0 || ::fdatasync(fd.get()) != 0) {
    return fail_errno(errno, fmt::format("cutting the torn end of {}", path.native()));
  }
  return {};
}

}  // namespace

Result<Spool> Spool::open(const fs::path& folder, std::uint64_t limit_bytes) {
  Spool spool;
  spool.folder_ = folder;
  spool.limit_bytes_ = limit_bytes;
  MEZ_CHECK(make_directories(folder / "aside", 0700));
  MEZ_TRY(spool.lock_, lock_folder(folder));
  MEZ_TRY(const auto files, files_in(folder));
  for (const fs::path& live : files) {
    const std::string id = id_of(live, kLiveSuffix);
    if (id.empty()) continue;
    auto verified = verify_file(live);
    if (verified) {
      MEZ_CHECK(cut(live, verified->valid_bytes));
      MEZ_CHECK(move_file(live, spool.path_of(id)));
      spool.recovered_.cut.push_back(id);
    } else {
      log::warn("a recording that a crash left does not verify; it is kept aside",
                {{"session_id", id}, {"error", verified.error()}});
      MEZ_CHECK(move_file(live, folder / "aside" / (id + std::string(kFileSuffix))));
      spool.recovered_.aside.push_back(id);
    }
  }
  return spool;
}

fs::path Spool::live_path_of(std::string_view session_id) const {
  return folder_ / (std::string(session_id) + std::string(kLiveSuffix));
}

Status Spool::discard(std::string_view session_id) {
  if (!is_session_id(session_id)) return fail(ErrorCode::kInvalidArgument, "that is no session id");
  if (::unlink(live_path_of(session_id).c_str()) != 0 && errno != ENOENT) {
    return fail_errno(errno, "removing a recording that was not begun");
  }
  return {};
}

Result<Writer> Spool::create(const Header& header, SteadyTime now, std::span<const Recipient> recipients) {
  if (size_bytes() >= limit_bytes_) {
    return fail(ErrorCode::kResourceExhausted,
                "the recording spool {} holds its limit of {} bytes; check that the hub is reachable, so that it is "
                "uploaded",
                folder_.native(), limit_bytes_);
  }
  if (!is_session_id(header.session_id)) {
    return fail(ErrorCode::kInvalidArgument, "a recording needs a session id (a UUID in lower case)");
  }
  MEZ_TRY(Writer writer, Writer::create(live_path_of(header.session_id), header, now, recipients));
  MEZ_CHECK(writer.sync());
  MEZ_CHECK(sync_directory(folder_));
  return writer;
}

Status Spool::release(std::string_view session_id) { return move_file(live_path_of(session_id), path_of(session_id)); }

Result<std::vector<std::string>> Spool::waiting() const {
  MEZ_TRY(const auto files, files_in(folder_));
  std::vector<std::pair<fs::file_time_type, std::string>> found;
  for (const fs::path& file : files) {
    std::string id = id_of(file, kFileSuffix);
    std::error_code error;
    const auto time = fs::last_write_time(file, error);
    if (!id.empty() && !error) found.emplace_back(time, std::move(id));
  }
  std::ranges::sort(found);
  std::vector<std::string> ids;
  for (auto& [time, id] : found) ids.push_back(std::move(id));
  return ids;
}

fs::path Spool::path_of(std::string_view session_id) const {
  return folder_ / (std::string(session_id) + std::string(kFileSuffix));
}

Status Spool::remove(std::string_view session_id) {
  if (!is_session_id(session_id)) return fail(ErrorCode::kInvalidArgument, "that is no session id");
  if (::unlink(path_of(session_id).c_str()) != 0 && errno != ENOENT) {
    return fail_errno(errno, "removing an uploaded recording");
  }
  return sync_directory(folder_);
}

Status Spool::set_aside(std::string_view session_id) {
  if (!is_session_id(session_id)) return fail(ErrorCode::kInvalidArgument, "that is no session id");
  return move_file(path_of(session_id), folder_ / "aside" / (std::string(session_id) + std::string(kFileSuffix)));
}

Spool::Backlog Spool::backlog() const {
  Backlog backlog;
  std::optional<fs::file_time_type> oldest;
  for (const fs::path& folder : {folder_, folder_ / "aside"}) {
    const auto files = files_in(folder);
    if (!files) continue;
    for (const fs::path& file : *files) {
      std::error_code error;
      const auto bytes = fs::file_size(file, error);
      if (!error) backlog.bytes += bytes;
      if (id_of(file, kFileSuffix).empty()) continue;
      const auto time = fs::last_write_time(file, error);
      if (folder != folder_) {
        ++backlog.aside;
      } else {
        ++backlog.waiting;
        if (!error && (!oldest || time < *oldest)) oldest = time;
      }
    }
  }
  if (oldest) {
    const auto age = fs::file_time_type::clock::now() - *oldest;
    backlog.oldest_age =
        std::max(std::chrono::duration_cast<std::chrono::milliseconds>(age), std::chrono::milliseconds(0));
  }
  return backlog;
}

std::uint64_t Spool::size_bytes() const { return backlog().bytes; }

}  // namespace mezite::recording
