#include "ssh/sftp/upload.hh"

#include <algorithm>

namespace mezite::ssh::sftp {
namespace {

class Upload final : public WriteTarget, public std::enable_shared_from_this<Upload> {
 public:
  Upload(Client& client, FileSource& source, UploadOptions options,
         std::move_only_function<void(Result<std::uint64_t>)> done)
      : client_(client), source_(source), options_(std::move(options)), done_(std::move(done)) {}

  void start(std::string path) {
    const std::uint32_t flags = kOpenWrite | kOpenCreate | (options_.from == 0 ? kOpenTruncate : 0);
    Attributes attributes;
    attributes.permissions = options_.permissions;
    next_ = options_.from;
    client_.request(Open{.path = std::move(path), .flags = flags, .attributes = attributes},
                    [self = shared_from_this()](Result<Reply> reply) { self->on_open(handle_of(std::move(reply))); });
  }

  void on_written(std::uint64_t, std::uint32_t size, Status status) override {
    --in_flight_;
    if (status) {
      bytes_ += size;
      if (options_.progress) options_.progress(size);
    } else if (!failure_) {
      failure_ = status.error();
    }
    pump();
  }

 private:
  void on_open(Result<std::string> handle) {
    // The file itself would have been made; what is not there is the folder that it goes to.
    if (!handle && handle.error().code == ErrorCode::kNotFound) {
      return finish(fail(ErrorCode::kNotFound, "there is no such folder"));
    }
    if (!handle) return finish(std::unexpected(handle.error()));
    handle_ = std::move(*handle);
    request_bytes_ = client_.server().max_write_bytes;
    if (options_.limits.request_bytes != 0) request_bytes_ = std::min(request_bytes_, options_.limits.request_bytes);
    pump();
  }

  void pump() {
    if (pumping_ || closing_) return;
    pumping_ = true;
    while (!failure_ && !at_end_ && in_flight_ < options_.limits.max_requests && !client_.output_full()) write_next();
    pumping_ = false;
    if (!failure_ && !at_end_ && in_flight_ < options_.limits.max_requests && !waiting_) {
      waiting_ = true;
      client_.when_room([self = shared_from_this()] {
        self->waiting_ = false;
        self->pump();
      });
    }
    if (in_flight_ == 0 && (failure_ || at_end_)) close();
  }

  void write_next() {
    const auto space = client_.write_space(handle_.size(), request_bytes_);
    const auto got = source_.read(space, next_);
    if (!got) {
      failure_ = got.error();
      return;
    }
    at_end_ = *got < space.size();
    if (*got == 0) return;
    const auto size = static_cast<std::uint32_t>(*got);
    ++in_flight_;
    next_ += size;
    client_.send_write(as_bytes(handle_), next_ - size, size, shared_from_this());
  }

  // Both at once; the server works in order.
  void close() {
    closing_ = true;
    const auto keep_first = [self = shared_from_this()](const Status& status) {
      if (!status && !self->failure_) self->failure_ = status.error();
    };
    if (!failure_ && options_.finally != Attributes{}) {
      client_.request(Fsetstat{as_bytes(handle_), options_.finally}, [keep_first](Result<Reply> reply) {
        auto status = status_of(std::move(reply));
        keep_first(status ? status : wrap(status.error(), "setting times and permissions"));
      });
    }
    // A full disk or quota may show here only.
    client_.request(Close{as_bytes(handle_)}, [self = shared_from_this(), keep_first](Result<Reply> reply) {
      keep_first(status_of(std::move(reply)));
      if (self->failure_) return self->finish(std::unexpected(*self->failure_));
      self->finish(self->bytes_);
    });
  }

  void finish(Result<std::uint64_t> result) {
    if (auto done = std::exchange(done_, nullptr)) done(std::move(result));
  }

  Client& client_;
  FileSource& source_;
  const UploadOptions options_;
  std::move_only_function<void(Result<std::uint64_t>)> done_;
  std::string handle_;
  std::uint64_t next_ = 0;
  std::uint64_t bytes_ = 0;
  std::uint32_t request_bytes_ = 0;
  std::size_t in_flight_ = 0;
  bool at_end_ = false;
  bool pumping_ = false;
  bool waiting_ = false;
  bool closing_ = false;
  std::optional<Error> failure_;
};

}  // namespace

void upload(Client& client, std::string path, FileSource& source, UploadOptions options,
            std::move_only_function<void(Result<std::uint64_t>)> done) {
  std::make_shared<Upload>(client, source, std::move(options), std::move(done))->start(std::move(path));
}

}  // namespace mezite::ssh::sftp
