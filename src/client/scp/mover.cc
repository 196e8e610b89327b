#include "client/scp/mover.hh"

#include <algorithm>

#include "base/clock.hh"
#include "client/scp/local_tree.hh"
#include "ssh/sftp/download.hh"
#include "ssh/sftp/upload.hh"

namespace mezite::client {
namespace {

namespace sftp = ssh::sftp;

// Enough to hide the round trips of small files; a server that allows fewer open ones is heeded.
constexpr std::size_t kMaxFiles = 16;
// How much of what is there already is compared with the source before a transfer goes on behind it.
constexpr std::uint32_t kComparedBytes = 64 << 10;

std::size_t files_at_once(SftpConnection& connection) {
  return std::clamp<std::size_t>(connection.files().server().max_open_files / 2, 1, kMaxFiles);
}

sftp::Attributes attributes_to_set(const TreeEntry& entry, Preserve preserve) {
  sftp::Attributes out;
  if (preserve == Preserve::kNo) return out;
  out.permissions = entry.permissions;
  const auto seconds = [](std::int64_t time) {
    return static_cast<std::uint32_t>(std::clamp<std::int64_t>(time, 0, UINT32_MAX));
  };
  out.times = sftp::Attributes::Times{seconds(entry.accessed), seconds(entry.modified)};
  return out;
}

std::unexpected<Error> cannot_resume(std::string_view what) {
  return fail(ErrorCode::kFailedPrecondition, "{}; copy it without --resume to replace it", what);
}

Result<Bytes> local_range(LocalSource& source, std::uint64_t offset, std::uint32_t size) {
  Bytes bytes(size);
  MEZ_TRY(const std::size_t got, source.read(bytes, offset));
  bytes.resize(got);
  return bytes;
}

// Where a transfer goes on: behind what is at the target, if that is how the source begins.
Result<std::uint64_t> resume_point(std::uint64_t have, std::uint64_t size,
                                   const std::function<Result<Bytes>(std::uint64_t, std::uint32_t)>& of_source,
                                   const std::function<Result<Bytes>(std::uint64_t, std::uint32_t)>& of_target) {
  if (have > size) return cannot_resume("what is there is longer than the file");
  const auto compared = static_cast<std::uint32_t>(std::min<std::uint64_t>(have, kComparedBytes));
  if (compared == 0) return 0u;
  MEZ_TRY(const Bytes source, of_source(have - compared, compared));
  MEZ_TRY(const Bytes target, of_target(have - compared, compared));
  if (source != target) return cannot_resume("what is there is not the beginning of the file");
  return have;
}

// Counts what is under way; a connection that ends takes the transfers' handlers with it, so they share this.
class Base : public Mover {
 public:
  Base(SftpConnection& connection, MoveOptions options, MoveEvents events)
      : connection_(connection), options_(options), events_(std::move(events)) {}

  Status finish() override {
    MEZ_CHECK(connection_.run_until([this] {
      if (meanwhile_) meanwhile_();
      return active_ == 0;
    }));
    return usable();
  }
  Status usable() const override {
    if (const auto& error = connection_.files().error()) return std::unexpected(*error);
    return {};
  }

 protected:
  Status wait_for_room() {
    const std::size_t most = files_at_once(connection_);
    MEZ_CHECK(connection_.run_until([&] { return active_ < most; }));
    return usable();
  }
  // Reports a file that could not begin. The connection may still be good.
  Status give_up(const FileMove& move, const Error& why, CopySide side) {
    const Status good = usable();
    if (good) events_.done(move, std::unexpected(why), side);
    return good;
  }
  void ended(const FileMove& move, const Status& status, CopySide side) {
    --active_;
    if (status || usable()) events_.done(move, status, side);
  }

  SftpConnection& connection_;
  const MoveOptions options_;
  const MoveEvents events_;
  std::size_t active_ = 0;
  std::function<void()> meanwhile_;  // while finish() waits
};

class DownloadMover final : public Base {
 public:
  DownloadMover(RemoteTree& from, MoveOptions options, MoveEvents events)
      : Base(from.connection(), options, std::move(events)), from_(from) {}

  Status move(FileMove move) override {
    MEZ_CHECK(wait_for_room());
    std::uint64_t have = 0;
    if (options_.resume && move.target_exists) {
      auto point = resume(move);
      if (!point) return give_up(move, point.error(), CopySide::kTarget);
      have = *point;
    }
    events_.started(move);
    if (have > 0) events_.progress(have);
    ++active_;
    auto sink = std::make_shared<LocalSink>(move.to, move.entry.permissions,
                                            have > 0 ? LocalSink::Start::kAppend : LocalSink::Start::kEmpty);
    sftp::DownloadOptions options;
    options.from = have;
    options.progress = events_.progress;
    const std::string path = move.from;
    download(connection_.files(), path, *sink, std::move(options),
             [this, sink, move = std::move(move)](Result<sftp::Downloaded> result) {
               if (result)
                 return ended(move, sink->finish(entry_of(result->attributes), options_.preserve), CopySide::kTarget);
               ended(move, std::unexpected(result.error()), sink->failed() ? CopySide::kTarget : CopySide::kSource);
             });
    return {};
  }

 private:
  Result<std::uint64_t> resume(const FileMove& move) {
    LocalTree here;
    const auto target = here.stat(move.to);
    if (!target && target.error().code == ErrorCode::kNotFound) return 0u;
    if (!target) return std::unexpected(target.error());
    LocalSource have;
    MEZ_CHECK(have.open(move.to));
    return resume_point(
        target->size, move.entry.size,
        [&](std::uint64_t at, std::uint32_t size) { return from_.files().read_range(move.from, at, size); },
        [&](std::uint64_t at, std::uint32_t size) { return local_range(have, at, size); });
  }

  RemoteTree& from_;
};

class UploadMover final : public Base {
 public:
  UploadMover(RemoteTree& to, MoveOptions options, MoveEvents events)
      : Base(to.connection(), options, std::move(events)), to_(to) {}

  Status move(FileMove move) override {
    MEZ_CHECK(wait_for_room());
    auto source = std::make_shared<LocalSource>();
    if (auto opened = source->open(move.from); !opened) return give_up(move, opened.error(), CopySide::kSource);
    std::uint64_t have = 0;
    if (options_.resume && move.target_exists) {
      auto point = resume(move, *source);
      if (!point) return give_up(move, point.error(), CopySide::kTarget);
      have = *point;
    }
    start(std::move(move), std::move(source), have);
    return {};
  }

  void set_meanwhile(std::function<void()> call) { meanwhile_ = std::move(call); }

  void start(FileMove move, std::shared_ptr<LocalSource> source, std::uint64_t have) {
    events_.started(move);
    if (have > 0) events_.progress(have);
    ++active_;
    sftp::UploadOptions options;
    options.from = have;
    options.permissions = move.entry.permissions;
    options.finally = attributes_to_set(move.entry, options_.preserve);
    options.progress = events_.progress;
    const std::string path = move.to;
    upload(connection_.files(), path, *source, std::move(options),
           [this, source, move = std::move(move)](const Result<std::uint64_t>& result) {
             if (result) return ended(move, {}, CopySide::kTarget);
             ended(move, std::unexpected(result.error()), source->failed() ? CopySide::kSource : CopySide::kTarget);
           });
  }

  Result<std::uint64_t> resume(const FileMove& move, LocalSource& source) {
    const auto target = to_.stat(move.to);
    if (!target && target.error().code == ErrorCode::kNotFound) return 0u;
    if (!target) return std::unexpected(target.error());
    return resume_point(
        target->size, move.entry.size,
        [&](std::uint64_t at, std::uint32_t size) { return local_range(source, at, size); },
        [&](std::uint64_t at, std::uint32_t size) { return to_.files().read_range(move.to, at, size); });
  }

 private:
  RemoteTree& to_;
};

class RelayMover final : public Mover {
 public:
  RelayMover(RemoteTree& from, RemoteTree& to, MoveOptions options, MoveEvents events)
      : from_(from), to_(to), options_(options), events_(std::move(events)), up_(to, options, up_events()) {
    up_.set_meanwhile([this] { keep_alive(from_); });
  }

  Status move(FileMove move) override {
    auto file = make_unnamed_file();
    if (!file) {
      events_.done(move, std::unexpected(file.error()), CopySide::kTarget);
      return {};
    }
    events_.started(move);
    UniqueFd reader(::dup(file->get()));
    LocalSink sink(std::move(*file));
    std::optional<Result<sftp::Downloaded>> got;
    download(from_.connection().files(), move.from, sink, {},
             [&got](Result<sftp::Downloaded> result) { got = std::move(result); });
    MEZ_CHECK(from_.connection().run_until([&] {
      keep_alive(to_);
      return got.has_value();
    }));
    MEZ_CHECK(usable());
    if (!*got) {
      events_.done(move, std::unexpected(got->error()), sink.failed() ? CopySide::kTarget : CopySide::kSource);
      return {};
    }
    move.entry = entry_of((*got)->attributes);
    auto source = std::make_shared<LocalSource>(std::move(reader));
    std::uint64_t have = 0;
    if (options_.resume && move.target_exists) {
      auto point = up_.resume(move, *source);
      if (!point) {
        events_.done(move, std::unexpected(point.error()), CopySide::kTarget);
        return {};
      }
      have = *point;
    }
    up_.start(std::move(move), std::move(source), have);
    return up_.finish();
  }
  Status finish() override { return up_.finish(); }
  Status usable() const override {
    if (const auto& error = from_.connection().files().error()) return std::unexpected(*error);
    return up_.usable();
  }

 private:
  // A large file takes longer than a node waits for an answer.
  void keep_alive(RemoteTree& other) {
    const SteadyTime now = system_clock().steady();
    if (now - kept_alive_ < std::chrono::seconds(1)) return;
    kept_alive_ = now;
    other.connection().keep_alive();
  }

  MoveEvents up_events() {
    MoveEvents events = events_;
    events.started = [](const FileMove&) {};
    return events;
  }

  RemoteTree& from_;
  RemoteTree& to_;
  const MoveOptions options_;
  const MoveEvents events_;
  UploadMover up_;
  SteadyTime kept_alive_{};
};

}  // namespace

std::unique_ptr<Mover> make_download(RemoteTree& from, MoveOptions options, MoveEvents events) {
  return std::make_unique<DownloadMover>(from, options, std::move(events));
}
std::unique_ptr<Mover> make_upload(RemoteTree& to, MoveOptions options, MoveEvents events) {
  return std::make_unique<UploadMover>(to, options, std::move(events));
}
std::unique_ptr<Mover> make_relay(RemoteTree& from, RemoteTree& to, MoveOptions options, MoveEvents events) {
  return std::make_unique<RelayMover>(from, to, options, std::move(events));
}

}  // namespace mezite::client
