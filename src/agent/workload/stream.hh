// A call whose answers follow what changes, over gRPC's callbacks. Inside src/agent/workload/ only.
#pragma once

#include <grpcpp/support/server_callback.h>

#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>

#include "base/clock.hh"
#include "base/result.hh"

namespace mezite::agent {

// What a stream does next is decided by what it would say now.
class OpenStream {
 public:
  virtual ~OpenStream() = default;
  // Computes the answer and sends it if it is another than the one before. Blocks; on a worker, never two at a time of
  // one stream.
  virtual void refresh() = 0;
  virtual void end(const Error& error) = 0;
  // When it wants to be refreshed by itself; never: SystemTime::max().
  virtual SystemTime due() const = 0;
  // Whether what it gave last is of the CA key that signs now.
  virtual bool is_settled() const = 0;
};

// What a computation gives besides the message.
struct Freshness {
  SystemTime due = SystemTime::max();
  bool settled = true;
};

template <class Message>
class Stream final : public grpc::ServerWriteReactor<Message>, public OpenStream {
 public:
  using Compute = std::function<Result<Message>(Freshness&)>;
  using ToStatus = grpc::Status (*)(const Error&);

  // `gone` is called once, as the last thing that gRPC says; it lets go of what keeps this alive.
  Stream(Compute compute, ToStatus to_status, std::function<void()> gone)
      : compute_(std::move(compute)), to_status_(to_status), gone_(std::move(gone)) {}

  void refresh() override {
    {
      std::lock_guard lock(mutex_);
      if (ended_) return;
    }
    Freshness freshness;
    Result<Message> message = compute_(freshness);
    bool transient = !message && message.error().code != ErrorCode::kPermissionDenied;
    std::optional<grpc::Status> finish;
    bool write = false;
    {
      std::lock_guard lock(mutex_);
      if (ended_) return;
      due_ = freshness.due;
      settled_ = freshness.settled;
      if (transient && answered_) return;  // what it has is good; it is tried again
      if (!message) {
        finish = finish_locked(to_status_(message.error()));
      } else {
        std::string bytes = message->SerializeAsString();
        if (answered_ && bytes == last_) return;
        answered_ = true;
        last_ = std::move(bytes);
        if (writing_) {
          waiting_ = std::move(*message);
        } else {
          writing_ = write = true;
          sent_ = std::move(*message);
        }
      }
    }
    if (finish) this->Finish(*finish);
    if (write) this->StartWrite(&sent_);
  }

  void end(const Error& error) override {
    std::optional<grpc::Status> finish;
    {
      std::lock_guard lock(mutex_);
      finish = finish_locked(to_status_(error));
    }
    if (finish) this->Finish(*finish);
  }

  SystemTime due() const override {
    std::lock_guard lock(mutex_);
    return ended_ ? SystemTime::max() : due_;
  }
  bool is_settled() const override {
    std::lock_guard lock(mutex_);
    return ended_ || settled_;
  }

  void OnWriteDone(bool ok) override {
    std::optional<grpc::Status> finish;
    bool write = false;
    {
      std::lock_guard lock(mutex_);
      writing_ = false;
      if (ended_) {
        finish = std::exchange(finish_later_, std::nullopt);
      } else if (!ok) {
        finish = finish_locked(grpc::Status::CANCELLED);
      } else if (waiting_) {
        sent_ = std::move(*std::exchange(waiting_, std::nullopt));
        writing_ = write = true;
      }
    }
    if (finish) this->Finish(*finish);
    if (write) this->StartWrite(&sent_);
  }
  void OnCancel() override { end({ErrorCode::kUnavailable, "the call was cancelled"}); }
  void OnDone() override {
    std::function<void()> gone = std::move(gone_);
    gone();  // may destroy this
  }

 private:
  // The status to finish with now; nothing when a write is under way (it finishes then) or it has ended already.
  std::optional<grpc::Status> finish_locked(grpc::Status status) {
    if (std::exchange(ended_, true)) return std::nullopt;
    waiting_.reset();
    if (!writing_) return status;
    finish_later_ = std::move(status);
    return std::nullopt;
  }

  const Compute compute_;
  const ToStatus to_status_;
  std::function<void()> gone_;
  mutable std::mutex mutex_;
  Message sent_;  // gRPC's while writing_
  std::optional<Message> waiting_;
  std::string last_;
  std::optional<grpc::Status> finish_later_;
  SystemTime due_ = SystemTime::max();
  bool settled_ = true;
  bool answered_ = false, writing_ = false, ended_ = false;
};

}  // namespace mezite::agent
