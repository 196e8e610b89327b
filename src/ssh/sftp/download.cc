#include "ssh/sftp/download.hh"

#include <algorithm>

namespace mezite::ssh::sftp {
namespace {

class Download final : public ReadTarget, public std::enable_shared_from_this<Download> {
 public:
  Download(Client& client, FileSink& sink, DownloadOptions options,
           std::move_only_function<void(Result<Downloaded>)> done)
      : client_(client), sink_(sink), options_(std::move(options)), done_(std::move(done)) {}

  void start(std::string path) {
    client_.request(Open{.path = std::move(path), .flags = kOpenRead, .attributes = {}},
                    [self = shared_from_this()](Result<Reply> reply) { self->on_open(handle_of(std::move(reply))); });
  }

  void on_piece(std::uint64_t offset, BytesView piece) override {
    if (failure_) return;
    if (auto status = sink_.write(piece, offset); !status) return give_up(status.error());
    result_.bytes += piece.size();
    if (options_.progress) options_.progress(piece.size());
  }

  void on_read(std::uint64_t offset, std::uint32_t asked, Result<std::uint32_t> got) override {
    --in_flight_;
    if (!got) {
      give_up(got.error());
    } else if (*got == 0) {
      end_ = std::min(end_.value_or(offset), offset);
    } else if (*got < asked && !failure_) {
      // Less than asked is legal anywhere (draft §6.4), so the rest is asked for again.
      ask(offset + *got, asked - *got);
    }
    pump();
  }

 private:
  void on_open(Result<std::string> handle) {
    if (!handle) return finish(std::unexpected(handle.error()));
    handle_ = std::move(*handle);
    client_.request(Fstat{as_bytes(handle_)}, [self = shared_from_this()](Result<Reply> reply) {
      self->on_attributes(attributes_of(std::move(reply)));
    });
  }

  void on_attributes(Result<Attributes> attributes) {
    if (!attributes) return give_up(attributes.error());
    result_.attributes = *attributes;
    if (attributes->permissions && !attributes->is_regular()) {
      return give_up({ErrorCode::kInvalidArgument, "not a regular file"});
    }
    promised_ = attributes->size.value_or(0);
    if (options_.from > promised_) {
      return give_up({ErrorCode::kFailedPrecondition, "what is here already is longer than the file on the node"});
    }
    next_ = options_.from;
    request_bytes_ = client_.server().max_read_bytes;
    if (options_.limits.request_bytes != 0) request_bytes_ = std::min(request_bytes_, options_.limits.request_bytes);
    pump();
  }

  void ask(std::uint64_t offset, std::uint32_t size) {
    ++in_flight_;
    client_.read(as_bytes(handle_), offset, size, shared_from_this());
  }

  void pump() {
    if (finished_) return;
    if (failure_) {
      if (in_flight_ == 0) finish(std::unexpected(*failure_));
      return;
    }
    // All that fstat promised, and at once one read behind it: that one finds the end of the file, or what was added to
    // it since, or all there is of a file that says nothing of its size, as those of /proc.
    while (!end_ && next_ <= promised_ && in_flight_ < options_.limits.max_requests && !failure_) ask_next();
    if (in_flight_ > 0 || finished_) return;
    if (failure_) return finish(std::unexpected(*failure_));
    if (!end_) return ask_next();  // beyond the promise one read after the other
    if (*end_ < promised_) {
      return give_up({ErrorCode::kIo, "the file got smaller while it was copied; copy it again"});
    }
    finish(std::move(result_));
  }

  void ask_next() {
    const std::uint64_t left = next_ < promised_ ? promised_ - next_ : request_bytes_;
    const auto size = static_cast<std::uint32_t>(std::min<std::uint64_t>(request_bytes_, left));
    next_ += size;
    ask(next_ - size, size);
  }

  void give_up(Error why) {
    if (!failure_) failure_ = std::move(why);
    if (in_flight_ == 0) finish(std::unexpected(*failure_));
  }

  void finish(Result<Downloaded> result) {
    if (finished_) return;
    finished_ = true;
    // Nothing that could still go wrong with a file that was only read matters.
    if (!handle_.empty()) client_.request(Close{as_bytes(handle_)}, [](Result<Reply>) {});
    auto done = std::exchange(done_, nullptr);
    done(std::move(result));
  }

  Client& client_;
  FileSink& sink_;
  const DownloadOptions options_;
  std::move_only_function<void(Result<Downloaded>)> done_;
  Downloaded result_;
  std::string handle_;
  std::uint64_t promised_ = 0;
  std::uint64_t next_ = 0;
  std::uint32_t request_bytes_ = 0;
  std::optional<std::uint64_t> end_;  // where the server said that the file ends
  std::size_t in_flight_ = 0;
  bool finished_ = false;
  std::optional<Error> failure_;
};

}  // namespace

void download(Client& client, std::string path, FileSink& sink, DownloadOptions options,
              std::move_only_function<void(Result<Downloaded>)> done) {
  std::make_shared<Download>(client, sink, std::move(options), std::move(done))->start(std::move(path));
}

}  // namespace mezite::ssh::sftp
