#include "agent/workload/api.hh"

#include <grpcpp/grpcpp.h>
#include <grpcpp/server_posix.h>
#include <sys/stat.h>

#include <algorithm>
#include <atomic>
#include <map>
#include <mutex>

#include "agent/workload/answers.hh"
#include "agent/workload/connections.hh"
#include "base/file.hh"
#include "base/log.hh"
#include "base/text.hh"
#include "net/listener.hh"
#include "net/worker_pool.hh"
#include "spiffe/workloadapi.grpc.pb.h"

namespace mezite::agent {
namespace {

constexpr std::size_t kWorkers = 4;
constexpr std::size_t kMaxStreams = 2048;
constexpr std::size_t kMaxStreamsOfOneUser = 256;
constexpr int kMaxRequestBytes = 64 << 10;
constexpr int kMaxMetadataBytes = 16 << 10;
constexpr int kMaxStreamsPerConnection = 32;
constexpr std::size_t kMemoryQuotaBytes = std::size_t{64} << 20;
constexpr std::chrono::milliseconds kLeastPause{200};
constexpr std::chrono::seconds kLongestPause{60};
constexpr std::chrono::minutes kDeniedEvery{1};
constexpr std::size_t kMaxRemembered = 1024;
constexpr mode_t kFolderMode = 0755;
constexpr mode_t kSocketMode = 0666;  // everybody may ask; who they are decides what they get

grpc::Status to_grpc(const Error& error) {
  grpc::StatusCode code = grpc::StatusCode::INTERNAL;
  switch (error.code) {
    case ErrorCode::kInvalidArgument: code = grpc::StatusCode::INVALID_ARGUMENT; break;
    case ErrorCode::kNotFound:
    case ErrorCode::kUnauthenticated:
    case ErrorCode::kPermissionDenied: code = grpc::StatusCode::PERMISSION_DENIED; break;
    case ErrorCode::kResourceExhausted: code = grpc::StatusCode::RESOURCE_EXHAUSTED; break;
    case ErrorCode::kUnavailable:
    case ErrorCode::kIo:
    case ErrorCode::kTimeout: code = grpc::StatusCode::UNAVAILABLE; break;
    default: break;
  }
  return {code, printable(error.message)};
}

// Workload Endpoint §4: without it the call could have been made by something that a browser or a proxy was led to do.
Status check_header(const grpc::CallbackServerContext& context) {
  const auto& metadata = context.client_metadata();
  auto [first, last] = metadata.equal_range("workload.spiffe.io");
  bool good = first != last && std::next(first) == last && first->second == "true";
  if (good) return {};
  return fail(ErrorCode::kInvalidArgument, "the call needs the metadata workload.spiffe.io: true, once");
}

// A streaming call that is over before it began.
template <class Message>
class Refused final : public grpc::ServerWriteReactor<Message> {
 public:
  explicit Refused(const Error& error) { this->Finish(to_grpc(error)); }
  void OnDone() override { delete this; }
};

// Finishes its call exactly once, also when the worker pool drops the task that owns it.
class Ending {
 public:
  explicit Ending(grpc::ServerUnaryReactor* reactor) : reactor_(reactor) {}
  Ending(Ending&& other) noexcept : reactor_(std::exchange(other.reactor_, nullptr)) {}
  Ending& operator=(Ending&&) = delete;
  ~Ending() { end(to_grpc({ErrorCode::kUnavailable, "the node agent is busy or stopping; try again in a moment"})); }
  void end(const grpc::Status& status) {
    if (auto* reactor = std::exchange(reactor_, nullptr)) reactor->Finish(status);
  }

 private:
  grpc::ServerUnaryReactor* reactor_;
};

// The server as long as it takes connections: an accept may be under way on a shard when it stops.
struct Door {
  std::mutex mutex;
  grpc::Server* server = nullptr;
  Connections connections;

  void close() {
    std::lock_guard lock(mutex);
    server = nullptr;
  }
  void enter(UniqueFd fd) {
    auto peer = Peer::of_socket(fd.get());
    if (!peer) return log::warn("workload API: connection refused", {{"error", peer.error()}});
    std::lock_guard lock(mutex);
    if (server == nullptr) return;
    if (Status put = connections.put(fd.get(), std::move(*peer)); !put) {
      return log::warn("workload API: connection refused", {{"error", put.error()}});
    }
    grpc::AddInsecureChannelFromFd(server, fd.release());
  }
};

Status make_folder(const std::string& socket) {
  std::filesystem::path folder = std::filesystem::path(socket).parent_path();
  std::error_code error;
  if (std::filesystem::is_directory(folder, error)) return {};
  MEZ_CHECK(make_directories(folder, kFolderMode));
  // Whatever the umask: workloads of every user must get to the socket.
  if (::chmod(folder.c_str(), kFolderMode) != 0) return fail_errno(errno, folder.string());
  return {};
}

}  // namespace

class WorkloadApi::Body final : public SpiffeWorkloadAPI::CallbackService {
 public:
  Body(net::Shard& shard, WorkloadApiOptions options)
      : shard_(shard),
        options_(std::move(options)),
        answers_(*options_.issuer, *options_.clock,
                 [this](const Peer& peer, const spiffe::Process* process, const Error& why) {
                   tell_of_denial(peer, process, why);
                 }) {}

  Status listen(net::ShardPool& shards);
  void update(WorkloadState state);
  bool is_settled();
  void stop();

  grpc::ServerWriteReactor<X509SVIDResponse>* FetchX509SVID(grpc::CallbackServerContext* context,
                                                            const X509SVIDRequest*) override {
    return open<X509SVIDResponse>(
        context, [this](const Peer& peer, Freshness& freshness) { return answers_.x509_svids(peer, freshness); });
  }
  grpc::ServerWriteReactor<X509BundlesResponse>* FetchX509Bundles(grpc::CallbackServerContext* context,
                                                                  const X509BundlesRequest*) override {
    return open<X509BundlesResponse>(context,
                                     [this](const Peer& peer, Freshness&) { return answers_.x509_bundles(peer); });
  }
  grpc::ServerWriteReactor<JWTBundlesResponse>* FetchJWTBundles(grpc::CallbackServerContext* context,
                                                                const JWTBundlesRequest*) override {
    return open<JWTBundlesResponse>(context,
                                    [this](const Peer& peer, Freshness&) { return answers_.jwt_bundles(peer); });
  }
  grpc::ServerUnaryReactor* FetchJWTSVID(grpc::CallbackServerContext* context, const JWTSVIDRequest* request,
                                         JWTSVIDResponse* response) override {
    return answer(context, response, [this, request](const Peer& peer) { return answers_.jwt_svids(peer, *request); });
  }
  grpc::ServerUnaryReactor* ValidateJWTSVID(grpc::CallbackServerContext* context, const ValidateJWTSVIDRequest* request,
                                            ValidateJWTSVIDResponse* response) override {
    return answer(context, response,
                  [this, request](const Peer& peer) { return answers_.validate_jwt_svid(peer, *request); });
  }

 private:
  struct Slot {
    std::shared_ptr<OpenStream> stream;
    uid_t uid = 0;
    std::uint64_t looked_at = 0;  // the update that its last refresh knew of
    bool busy = false, again = false;
  };
  using SlotId = std::uint64_t;

  Result<std::shared_ptr<const Peer>> caller_of(const grpc::CallbackServerContext& context) const;
  template <class Message, class Work>
  grpc::ServerUnaryReactor* answer(grpc::CallbackServerContext* context, Message* response, Work work);
  template <class Message, class Compute>
  grpc::ServerWriteReactor<Message>* open(grpc::CallbackServerContext* context, Compute compute);

  void refresh(SlotId id);
  void run(SlotId id, const std::shared_ptr<OpenStream>& stream);
  void remove(SlotId id);
  void refresh_due();
  void schedule();
  bool is_settled_locked() const;
  void tell_of_denial(const Peer& peer, const spiffe::Process* process, const Error& why);

  net::Shard& shard_;
  const WorkloadApiOptions options_;
  Answers answers_;
  std::shared_ptr<Door> door_ = std::make_shared<Door>();
  std::unique_ptr<grpc::Server> server_;
  std::unique_ptr<net::Listener> listener_;
  net::TimerId timer_{};  // of the shard
  bool stopped_ = false;

  std::mutex mutex_;
  std::map<SlotId, Slot> slots_;
  SlotId next_id_ = 1;
  std::uint64_t updates_ = 0;
  bool told_settled_ = true;
  bool closing_ = false;
  std::map<std::pair<uid_t, std::string>, SteadyTime> denied_;  // when it was told of last

  net::WorkerPool workers_{kWorkers};  // the first to go: its tasks use all of the above
};

Status WorkloadApi::Body::listen(net::ShardPool& shards) {
  if (Status made = make_folder(options_.socket); !made) return wrap(made.error(), "making the folder of the socket");
  grpc::ServerBuilder builder;
  builder.SetMaxReceiveMessageSize(kMaxRequestBytes);
  builder.AddChannelArgument(GRPC_ARG_MAX_METADATA_SIZE, kMaxMetadataBytes);
  builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, kMaxStreamsPerConnection);
  builder.SetResourceQuota(grpc::ResourceQuota("workload API").Resize(kMemoryQuotaBytes));
  builder.RegisterService(this);
  server_ = builder.BuildAndStart();
  if (!server_) return fail(ErrorCode::kInternal, "the server of the Workload API did not start");
  door_->server = server_.get();
  auto accepted = [door = door_](net::Shard&, UniqueFd fd, net::Address) { door->enter(std::move(fd)); };
  MEZ_TRY(listener_, net::Listener::open_unix(shard_, shards, options_.socket, kSocketMode, accepted));
  log::info("the workload API listens", {{"socket", options_.socket}});
  return {};
}

void WorkloadApi::Body::stop() {
  if (std::exchange(stopped_, true)) return;
  listener_.reset();
  door_->close();
  std::vector<std::shared_ptr<OpenStream>> open;
  {
    std::lock_guard lock(mutex_);
    closing_ = true;
    for (const auto& [id, slot] : slots_) open.push_back(slot.stream);
  }
  for (const auto& stream : open) stream->end({ErrorCode::kUnavailable, "the node agent is stopping"});
  open.clear();
  if (server_) {
    server_->Shutdown(std::chrono::system_clock::now() + std::chrono::seconds(1));
    server_->Wait();
  }
  workers_.stop();
  server_.reset();
}

Result<std::shared_ptr<const Peer>> WorkloadApi::Body::caller_of(const grpc::CallbackServerContext& context) const {
  MEZ_CHECK(check_header(context));
  auto peer = door_->connections.find(context.peer());
  if (!peer) return fail(ErrorCode::kPermissionDenied, "the caller is not known; connect again");
  return peer;
}

template <class Message, class Work>
grpc::ServerUnaryReactor* WorkloadApi::Body::answer(grpc::CallbackServerContext* context, Message* response,
                                                    Work work) {
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  auto peer = caller_of(*context);
  if (!peer) {
    reactor->Finish(to_grpc(peer.error()));
    return reactor;
  }
  // A task that the pool refuses is destroyed here, and its Ending answers.
  [[maybe_unused]] bool taken =
      workers_.submit([ending = Ending(reactor), peer = std::move(*peer), response, work = std::move(work)]() mutable {
        Result<Message> message = work(*peer);
        if (!message) return ending.end(to_grpc(message.error()));
        *response = std::move(*message);
        ending.end(grpc::Status::OK);
      });
  return reactor;
}

template <class Message, class Compute>
grpc::ServerWriteReactor<Message>* WorkloadApi::Body::open(grpc::CallbackServerContext* context, Compute compute) {
  auto peer = caller_of(*context);
  if (!peer) return new Refused<Message>(peer.error());
  uid_t uid = (*peer)->uid();
  SlotId id = 0;
  Stream<Message>* reactor = nullptr;
  {
    std::lock_guard lock(mutex_);
    auto of_user = std::ranges::count_if(slots_, [&](const auto& one) { return one.second.uid == uid; });
    if (closing_ || slots_.size() >= kMaxStreams || of_user >= static_cast<std::ptrdiff_t>(kMaxStreamsOfOneUser)) {
      return new Refused<Message>({ErrorCode::kResourceExhausted, "too many calls are open; close some"});
    }
    id = next_id_++;
    auto stream = std::make_shared<Stream<Message>>([peer = std::move(*peer), compute = std::move(compute)](
                                                        Freshness& freshness) { return compute(*peer, freshness); },
                                                    to_grpc, [this, id] { remove(id); });
    reactor = stream.get();
    slots_[id] = Slot{.stream = std::move(stream), .uid = uid, .looked_at = updates_};
  }
  refresh(id);
  return reactor;
}

void WorkloadApi::Body::remove(SlotId id) {
  std::shared_ptr<OpenStream> last;  // goes after the lock
  std::lock_guard lock(mutex_);
  auto found = slots_.find(id);
  if (found == slots_.end()) return;
  last = std::move(found->second.stream);
  slots_.erase(found);
}

void WorkloadApi::Body::refresh(SlotId id) {
  std::shared_ptr<OpenStream> stream;
  {
    std::lock_guard lock(mutex_);
    auto found = slots_.find(id);
    if (found == slots_.end()) return;
    if (found->second.busy) {
      found->second.again = true;
      return;
    }
    found->second.busy = true;
    stream = found->second.stream;
  }
  if (workers_.submit([this, id, stream] { run(id, stream); })) return;
  stream->end({ErrorCode::kUnavailable, "the node agent is busy; try again in a moment"});
}

void WorkloadApi::Body::run(SlotId id, const std::shared_ptr<OpenStream>& stream) {
  bool settled_now = false;
  for (bool more = true; more;) {
    std::uint64_t update = 0;
    {
      std::lock_guard lock(mutex_);
      update = updates_;
    }
    stream->refresh();
    std::lock_guard lock(mutex_);
    auto found = slots_.find(id);
    more = found != slots_.end() && std::exchange(found->second.again, false);
    if (found != slots_.end()) {
      found->second.looked_at = update;
      found->second.busy = more;
    }
    if (!more) settled_now = is_settled_locked() && !std::exchange(told_settled_, true);
  }
  shard_.post([this, settled_now] {
    schedule();
    if (settled_now && options_.settled) options_.settled();
  });
}

// ---- what changes

void WorkloadApi::Body::update(WorkloadState state) {
  if (!answers_.put(std::move(state))) return;
  std::vector<SlotId> all;
  {
    std::lock_guard lock(mutex_);
    ++updates_;
    for (const auto& [id, slot] : slots_) all.push_back(id);
    told_settled_ = all.empty();
  }
  for (SlotId id : all) refresh(id);
}

bool WorkloadApi::Body::is_settled() {
  std::lock_guard lock(mutex_);
  return is_settled_locked();
}

bool WorkloadApi::Body::is_settled_locked() const {
  return std::ranges::all_of(
      slots_, [this](const auto& one) { return one.second.looked_at >= updates_ && one.second.stream->is_settled(); });
}

void WorkloadApi::Body::refresh_due() {
  std::vector<SlotId> due;
  {
    std::lock_guard lock(mutex_);
    SystemTime now = options_.clock->now();
    for (const auto& [id, slot] : slots_) {
      if (!slot.busy && slot.stream->due() <= now) due.push_back(id);
    }
  }
  for (SlotId id : due) refresh(id);
  schedule();
}

void WorkloadApi::Body::schedule() {
  shard_.cancel(timer_);
  SystemTime next = SystemTime::max();
  {
    std::lock_guard lock(mutex_);
    if (closing_) return;
    for (const auto& [id, slot] : slots_) {
      if (!slot.busy) next = std::min(next, slot.stream->due());
    }
  }
  if (next == SystemTime::max()) return;
  // A step at a time: the wall clock may be set.
  auto wait = std::clamp<std::chrono::nanoseconds>(next - options_.clock->now(), kLeastPause, kLongestPause);
  timer_ = shard_.after(wait, [this] { refresh_due(); });
}

void WorkloadApi::Body::tell_of_denial(const Peer& peer, const spiffe::Process* process, const Error& why) {
  std::string path = process ? process->path : "";
  {
    std::lock_guard lock(mutex_);
    SteadyTime now = options_.clock->steady();
    if (denied_.size() >= kMaxRemembered) {
      std::erase_if(denied_, [&](const auto& one) { return now - one.second >= kDeniedEvery; });
      if (denied_.size() >= kMaxRemembered) return;
    }
    auto [place, fresh] = denied_.try_emplace({peer.uid(), path}, now);
    if (!fresh && now - place->second < kDeniedEvery) return;
    place->second = now;
  }
  audit::Event event = node_event(audit::EventKind::kWorkloadDenied, *options_.node->current(), *options_.clock);
  event.error_message = why.message;
  event.details = audit::Details()
                      .add("uid", std::int64_t{peer.uid()})
                      .add("gid", std::int64_t{peer.gid()})
                      .add("pid", std::int64_t{peer.pid()})
                      .add("path", path)
                      .add("unit", process ? process->systemd_unit : "")
                      .text();
  if (Status stored = options_.events->emit({std::move(event)}); !stored) {
    log::error("an audit event could not be written", {{"error", stored.error()}});
  }
}

// ---- the outside

WorkloadApi::WorkloadApi(std::unique_ptr<Body> body) : body_(std::move(body)) {}
WorkloadApi::~WorkloadApi() { stop(); }

Result<std::unique_ptr<WorkloadApi>> WorkloadApi::start(net::Shard& shard, net::ShardPool& shards,
                                                        WorkloadApiOptions options) {
  std::string socket = options.socket;
  std::unique_ptr<WorkloadApi> api(new WorkloadApi(std::make_unique<Body>(shard, std::move(options))));
  if (Status listening = api->body_->listen(shards); !listening) {
    return fail(listening.error().code,
                "the workload API can't listen on {}: {}; set MEZITE_WORKLOAD_API_SOCKET to another path", socket,
                listening.error().message);
  }
  return api;
}

void WorkloadApi::update(WorkloadState state) { body_->update(std::move(state)); }
bool WorkloadApi::is_settled() const { return body_->is_settled(); }
void WorkloadApi::stop() { body_->stop(); }

}  // namespace mezite::agent
