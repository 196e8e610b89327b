// For the tests of this folder: an object store in memory that fails when told.
#pragma once

#include <algorithm>
#include <map>
#include <mutex>
#include <set>
#include <string>

#include "base/file.hh"
#include "recording/object_store.hh"

namespace mezite::recording {

class MemoryStore final : public ObjectStore {
 public:
  Status store(std::string_view id, const std::filesystem::path& file, const std::filesystem::path&,
               const ObjectFacts& given) override {
    const std::lock_guard lock(mutex);
    ++calls;
    if (down) return fail(ErrorCode::kUnavailable, "s3:PutObject failed: InternalError (HTTP 500)");
    if (poisoned.contains(id)) return fail(ErrorCode::kPermissionDenied, "s3:PutObject failed: AccessDenied");
    objects[std::string(id)] = read_file(file).value();
    facts[std::string(id)] = given;
    return {};
  }
  Result<ReadChunk> read(std::string_view id, std::uint64_t offset, std::size_t most) override {
    const std::lock_guard lock(mutex);
    ++reads;
    const auto found = objects.find(id);
    if (found == objects.end()) return fail(ErrorCode::kNotFound, "no such object");
    const BytesView rest = BytesView(found->second).subspan(std::min<std::size_t>(offset, found->second.size()));
    const BytesView part = rest.first(std::min({rest.size(), most, std::size_t{1000}}));
    return ReadChunk{.data = to_bytes(part), .eof = part.size() == rest.size()};
  }
  Status remove(std::string_view id) override {
    const std::lock_guard lock(mutex);
    objects.erase(std::string(id));
    return {};
  }

  Result<ObjectHead> head(std::string_view id, std::size_t most) override {
    const std::lock_guard lock(mutex);
    const auto found = objects.find(id);
    if (found == objects.end()) return fail(ErrorCode::kNotFound, "no such object");
    const BytesView all = found->second;
    return ObjectHead{.data = to_bytes(all.first(std::min(all.size(), most))),
                      .size_bytes = all.size(),
                      .facts = facts[std::string(id)]};
  }
  Result<ObjectPage> list(std::string_view after, std::string_view) override {
    const std::lock_guard lock(mutex);
    ObjectPage page;
    for (auto at = objects.upper_bound(after); at != objects.end(); ++at) page.session_ids.push_back(at->first);
    return page;
  }

  std::mutex mutex;
  std::map<std::string, ObjectFacts, std::less<>> facts;
  std::map<std::string, Bytes, std::less<>> objects;
  std::set<std::string, std::less<>> poisoned;
  bool down = false;
  int calls = 0;  // of store()
  int reads = 0;
};

}  // namespace mezite::recording
