#include "agent/sftp/sftp_log.hh"

#include "base/log.hh"
#include "base/text.hh"

namespace mezite::agent {
namespace {

namespace sftp = ssh::sftp;
using audit::EventKind;
using Kind = FileOperation::Kind;

constexpr std::chrono::milliseconds kBatchDelay{100};
constexpr std::size_t kBatchEvents = 256;
// A hundred times what a client of the usual kind has waiting; some 20 MiB.
constexpr std::size_t kMaxWaiting = 16384;

struct Kinds {
  EventKind done;
  EventKind failed;
  std::string_view verb;
};
Kinds kinds_of(Kind kind) {
  switch (kind) {
    case Kind::kOpen: return {EventKind::kSftpOpen, EventKind::kSftpOpenFailed, "open"};
    case Kind::kClose: return {EventKind::kSftpClose, EventKind::kSftpCloseFailed, "close"};
    case Kind::kRename: return {EventKind::kSftpRename, EventKind::kSftpRenameFailed, "rename"};
    case Kind::kRemove: return {EventKind::kSftpRemove, EventKind::kSftpRemoveFailed, "remove"};
    case Kind::kMakeDirectory: return {EventKind::kSftpMkdir, EventKind::kSftpMkdirFailed, "mkdir"};
    case Kind::kRemoveDirectory: return {EventKind::kSftpRmdir, EventKind::kSftpRmdirFailed, "rmdir"};
    case Kind::kSetAttributes: return {EventKind::kSftpSetstat, EventKind::kSftpSetstatFailed, "setstat"};
    case Kind::kSymlink: return {EventKind::kSftpSymlink, EventKind::kSftpSymlinkFailed, "symlink"};
    case Kind::kLink: return {EventKind::kSftpLink, EventKind::kSftpLinkFailed, "link"};
  }
  return {EventKind::kSftpUndecoded, EventKind::kSftpUndecoded, "?"};
}

std::string_view mode_of(const FileOperation& operation) {
  if (operation.directory) return "list";
  const bool reads = (operation.open_flags & sftp::kOpenRead) != 0;
  if ((operation.open_flags & (sftp::kOpenWrite | sftp::kOpenAppend)) == 0) return "read";
  if ((operation.open_flags & sftp::kOpenAppend) != 0) return reads ? "read_append" : "append";
  return reads ? "read_write" : "write";
}

// Names of files are bytes; those that are not UTF-8 are written so that they can be told apart.
std::string shown(const std::string& path) { return is_valid_utf8(path) ? path : printable(path); }

std::string absolute(const std::string& path, const std::string& home) {
  if (path.starts_with('/') || home.empty()) return shown(path);
  return shown(path.empty() || path == "." ? home : home + "/" + path);
}

void add_attributes(audit::Details& details, const sftp::Attributes& attributes) {
  if (attributes.permissions) details.add("permissions", fmt::format("{:04o}", *attributes.permissions & 07777));
  if (attributes.owner) {
    details.add("uid", std::int64_t{attributes.owner->user}).add("gid", std::int64_t{attributes.owner->group});
  }
  if (attributes.size) details.add("size", static_cast<std::int64_t>(*attributes.size));
  if (attributes.times) {
    details.add("modified", to_rfc3339(from_unix_seconds(attributes.times->modification)));
  }
}

}  // namespace

std::shared_ptr<SftpLog> SftpLog::make(net::Shard& shard, net::WorkerPool& workers, SftpLogOptions options) {
  return std::shared_ptr<SftpLog>(new SftpLog(shard, workers, std::move(options)));
}

SftpLog::SftpLog(net::Shard& shard, net::WorkerPool& workers, SftpLogOptions options)
    : shard_(shard),
      workers_(workers),
      options_(std::make_shared<const SftpLogOptions>(std::move(options))),
      tap_({.operation = [this](const FileOperation& operation) { on_operation(operation); },
            .lost = [this](std::string_view why) { on_lost(why); }}) {}

SftpLog::~SftpLog() { shard_.cancel(timer_); }

void SftpLog::on_operation(const FileOperation& operation) {
  const Kinds kinds = kinds_of(operation.kind);
  const bool failed = operation.status && *operation.status != sftp::StatusCode::kOk;
  const std::string_view status = operation.status ? sftp::status_text(*operation.status) : "unknown";
  audit::Event event = options_->make_event(failed ? kinds.failed : kinds.done);
  if (failed) event.error_message = status;
  audit::Details details;
  details.add("login", options_->login).add("path", absolute(operation.path, options_->home));
  std::string line = fmt::format("{} {}", kinds.verb, printable(operation.path));
  if (operation.kind == Kind::kRename) {
    details.add("new_path", absolute(operation.target, options_->home));
    line += fmt::format(" to {}", printable(operation.target));
  } else if (operation.kind == Kind::kSymlink || operation.kind == Kind::kLink) {
    details.add("target", operation.kind == Kind::kSymlink ? shown(operation.target)
                                                           : absolute(operation.target, options_->home));
    line += fmt::format(" to {}", printable(operation.target));
  } else if (operation.kind == Kind::kOpen || operation.kind == Kind::kClose) {
    details.add("mode", mode_of(operation));
    line += fmt::format(" ({})", mode_of(operation));
  }
  if (operation.kind == Kind::kOpen) {
    if ((operation.open_flags & sftp::kOpenCreate) != 0) details.add("create", true);
    if ((operation.open_flags & sftp::kOpenTruncate) != 0) details.add("truncate", true);
  }
  if (operation.kind == Kind::kClose) {
    details.add("bytes_read", static_cast<std::int64_t>(operation.bytes_read))
        .add("bytes_written", static_cast<std::int64_t>(operation.bytes_written));
    if (operation.copied_on_server) details.add("copied_on_server", true);
    if (operation.left_open) details.add("left_open", true);
    line += fmt::format(": {} bytes read, {} written", operation.bytes_read, operation.bytes_written);
  }
  add_attributes(details, operation.attributes);
  details.add("status", status);
  if (operation.kind != Kind::kClose || failed) line += fmt::format(": {}", status);
  event.details = details.text();
  options_->record(line);
  add(std::move(event));
}

void SftpLog::on_lost(std::string_view why) {
  audit::Event event = options_->make_event(EventKind::kSftpUndecoded);
  event.error_message = why;
  event.details = audit::Details().add("login", options_->login).text();
  log::warn("an SFTP session can't be followed", {{"session", event.session_id}, {"why", why}});
  options_->record(fmt::format("the file operations can't be told from here on: {}", printable(why)));
  add(std::move(event));
}

void SftpLog::add(audit::Event event) {
  if (waiting_.size() >= kMaxWaiting) {
    ++dropped_;
    return;
  }
  waiting_.push_back(std::move(event));
  if (ended_) return;
  if (waiting_.size() >= kBatchEvents) return send();
  if (timer_ == net::TimerId::kNone) {
    timer_ = shard_.after(kBatchDelay, [this] {
      timer_ = net::TimerId::kNone;
      send();
    });
  }
}

void SftpLog::send() {
  if (sending_ || waiting_.empty() || ended_) return;
  if (dropped_ > 0) {
    audit::Event event = options_->make_event(EventKind::kSftpUndecoded);
    event.error_message =
        fmt::format("{} file operations came faster than they could be stored", std::exchange(dropped_, 0));
    event.details = audit::Details().add("login", options_->login).text();
    waiting_.push_back(std::move(event));
  }
  auto batch = std::make_shared<std::vector<audit::Event>>(std::exchange(waiting_, {}));
  auto work = [batch, options = options_] { options->store(std::move(*batch)); };
  auto then = [weak = weak_from_this()] {
    auto self = weak.lock();
    if (!self) return;
    self->sending_ = false;
    if (self->waiting_.size() >= kBatchEvents) self->send();
  };
  sending_ = workers_.submit(shard_, std::move(work), std::move(then));
  if (sending_) return;
  // The workers are busy: again in a while.
  waiting_.insert(waiting_.begin(), std::make_move_iterator(batch->begin()), std::make_move_iterator(batch->end()));
  if (timer_ == net::TimerId::kNone) {
    timer_ = shard_.after(kBatchDelay, [this] {
      timer_ = net::TimerId::kNone;
      send();
    });
  }
}

std::vector<audit::Event> SftpLog::end() {
  if (ended_) return {};
  ended_ = true;
  shard_.cancel(timer_);
  tap_.end();
  return std::exchange(waiting_, {});
}

}  // namespace mezite::agent
