#include "client/scp/remote_tree.hh"

#include <fnmatch.h>

#include <algorithm>

#include "base/text.hh"
#include "client/scp/copy_end.hh"

namespace mezite::client {

namespace sftp = ssh::sftp;

namespace {

constexpr std::size_t kMaxMatches = 100'000;

sftp::Attributes::Times times_of(const TreeEntry& entry) {
  const auto seconds = [](std::int64_t time) {
    return static_cast<std::uint32_t>(std::clamp<std::int64_t>(time, 0, UINT32_MAX));
  };
  return {seconds(entry.accessed), seconds(entry.modified)};
}

}  // namespace

TreeEntry entry_of(const sftp::Attributes& attributes) {
  TreeEntry entry;
  entry.kind = !attributes.permissions || attributes.is_regular() ? TreeEntry::Kind::kFile
               : attributes.is_directory()                        ? TreeEntry::Kind::kDirectory
                                                                  : TreeEntry::Kind::kOther;
  entry.size = attributes.size.value_or(0);
  entry.permissions = attributes.permissions.value_or(0644) & 0777;
  if (attributes.times) {
    entry.accessed = attributes.times->access;
    entry.modified = attributes.times->modification;
  }
  return entry;
}

Result<TreeEntry> RemoteTree::stat(const std::string& path) {
  MEZ_TRY(const auto attributes, files_.stat(path));
  return entry_of(attributes);
}

Result<std::vector<NamedEntry>> RemoteTree::list(const std::string& folder) {
  MEZ_TRY(auto names, files_.list(folder));
  std::vector<NamedEntry> out;
  for (auto& name : names) {
    NamedEntry entry{std::move(name.name), std::nullopt};
    if (name.attributes.is_regular() || name.attributes.is_directory()) entry.entry = entry_of(name.attributes);
    out.push_back(std::move(entry));
  }
  return out;
}

Status RemoteTree::make_directory(const std::string& path, std::uint32_t permissions) {
  return files_.make_directory(path, permissions | 0700);
}

Status RemoteTree::finish_directory(const std::string& path, const TreeEntry& like, Preserve preserve) {
  sftp::Attributes attributes;
  if (preserve == Preserve::kYes || (like.permissions & 0700) != 0700) attributes.permissions = like.permissions;
  if (preserve == Preserve::kYes) attributes.times = times_of(like);
  return attributes == sftp::Attributes{} ? Status() : files_.set(path, attributes);
}

std::string RemoteTree::where(const std::string& path) const {
  return fmt::format("{}:{}", files_.connection().node(), printable(path));
}

Result<std::vector<std::string>> RemoteTree::matches(const std::string& pattern) {
  if (!is_pattern(pattern) || files_.lstat(pattern)) return std::vector<std::string>{pattern};
  std::vector<std::string> found = {pattern.starts_with('/') ? "/" : ""};
  for (const auto part : split(pattern, '/')) {
    if (part.empty()) continue;
    std::vector<std::string> next;
    for (const auto& folder : found) {
      if (!is_pattern(part)) {
        next.push_back(join_path(folder, part));
        continue;
      }
      const auto names = files_.list(folder.empty() ? "." : folder);
      if (!names && names.error().code == ErrorCode::kProtocol) return std::unexpected(names.error());
      if (!names) continue;  // a file, or one that may not be read
      for (const auto& name : *names) {
        if (::fnmatch(std::string(part).c_str(), name.name.c_str(), FNM_PERIOD) == 0)
          next.push_back(join_path(folder, name.name));
      }
      if (next.size() > kMaxMatches)
        return fail(ErrorCode::kResourceExhausted, "more than {} files match", kMaxMatches);
    }
    found = std::move(next);
  }
  // A part without a pattern behind one that has: not each of these is there.
  if (!is_pattern(last_part(pattern)))
    std::erase_if(found, [&](const std::string& path) { return !files_.lstat(path); });
  if (found.empty()) return fail(ErrorCode::kNotFound, "no file matches");
  std::ranges::sort(found);
  return found;
}

}  // namespace mezite::client
