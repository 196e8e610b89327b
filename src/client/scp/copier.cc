#include "client/scp/copier.hh"

#include <algorithm>

#include "client/scp/copy_end.hh"

namespace mezite::client {
namespace {

constexpr unsigned kMaxDepth = 128;

}  // namespace

Status Copier::copy(const std::vector<std::string>& sources, const std::string& target) {
  Status copied = copy_into(sources, target);
  const Status finished = finish();
  return copied ? finished : copied;
}

Status Copier::copy_into(const std::vector<std::string>& sources, const std::string& target) {
  const auto at = to_.stat(target);
  if (!at && at.error().code != ErrorCode::kNotFound) {
    return fail(at.error().code, "{}: {}", to_.where(target), at.error().message);
  }
  const bool into = at && at->kind == TreeEntry::Kind::kDirectory;
  if (!into && (sources.size() > 1 || (target.ends_with('/') && !options_.recursive))) {
    return fail(ErrorCode::kInvalidArgument, "{} is no folder, and {}; make it first, or name another",
                to_.where(target), sources.size() > 1 ? "several files are to go into it" : "it ends with a slash");
  }
  for (const auto& source : sources) {
    const std::string name = last_part(source);
    const std::string end = into && !name.empty() ? join_path(target == "." ? "" : target, name) : target;
    if (sources.size() > 1 && !name.empty() && !targets_.insert(end).second) {
      failed_(from_.where(source), {ErrorCode::kAlreadyExists, "another source of that name goes there too"});
      continue;
    }
    MEZ_CHECK(copy_one(source, std::nullopt, end.empty() ? "." : end, Target::kUnknown, 0));
  }
  return {};
}

Status Copier::copy_one(const std::string& source, const std::optional<TreeEntry>& known, const std::string& target,
                        Target about, unsigned depth) {
  MEZ_CHECK(mover_->usable());
  auto entry = known ? Result<TreeEntry>(*known) : from_.stat(source);
  if (!entry) {
    MEZ_CHECK(mover_->usable());
    failed_(from_.where(source), entry.error());
    return {};
  }
  switch (entry->kind) {
    case TreeEntry::Kind::kFile:
      return mover_->move({.from = source, .to = target, .entry = *entry, .target_exists = about == Target::kUnknown});
    case TreeEntry::Kind::kDirectory:
      if (options_.recursive) return copy_folder(source, *entry, target, about, depth);
      failed_(from_.where(source), {ErrorCode::kInvalidArgument, "is a folder; copy it with -r"});
      return {};
    case TreeEntry::Kind::kOther:
      failed_(from_.where(source), {ErrorCode::kInvalidArgument, "is neither a file nor a folder; left out"});
      return {};
  }
  return {};
}

Status Copier::copy_folder(const std::string& source, const TreeEntry& entry, const std::string& target, Target about,
                           unsigned depth) {
  if (depth >= kMaxDepth) {
    failed_(from_.where(source),
            {ErrorCode::kResourceExhausted, "folders are nested too deep; a link may point to a folder that it is in"});
    return {};
  }
  auto names = from_.list(source);
  if (!names) {
    MEZ_CHECK(mover_->usable());
    failed_(from_.where(source), names.error());
    return {};
  }
  bool made = true;
  if (about == Target::kUnknown) {
    const auto at = to_.stat(target);
    made = !at;
    if (at && at->kind != TreeEntry::Kind::kDirectory) {
      failed_(to_.where(target), {ErrorCode::kAlreadyExists, "is there already and no folder"});
      return {};
    }
  }
  if (made) {
    if (auto status = to_.make_directory(target, entry.permissions); !status) {
      MEZ_CHECK(mover_->usable());
      failed_(to_.where(target), status.error());
      return {};
    }
  }
  if (made || options_.preserve == Preserve::kYes) folders_.push_back({target, entry});
  std::ranges::sort(*names, {}, &NamedEntry::name);
  for (const auto& name : *names) {
    MEZ_CHECK(copy_one(join_path(source, name.name), name.entry, join_path(target, name.name),
                       made ? Target::kNothing : Target::kUnknown, depth + 1));
  }
  return {};
}

Status Copier::finish() {
  MEZ_CHECK(mover_->finish());
  // Inner folders first: setting something inside changes the times of what is around it.
  for (auto folder = folders_.rbegin(); folder != folders_.rend(); ++folder) {
    if (auto status = to_.finish_directory(folder->path, folder->like, options_.preserve); !status) {
      failed_(to_.where(folder->path), status.error());
    }
  }
  return {};
}

}  // namespace mezite::client
