#include "client/sftp/connection.hh"

#include "base/text.hh"
#include "client/node_login.hh"
#include "net/connect.hh"
#include "net/ssh_link.hh"
#include "ssh/endpoint/client.hh"

namespace mezite::client {
namespace {

constexpr std::size_t kMaxSaidBytes = 4096;
constexpr std::chrono::seconds kTurn{1};
constexpr std::chrono::milliseconds kGoodbye{500};

}  // namespace

class SftpConnection::Body final : public ssh::ClientHandler {
 public:
  explicit Body(SftpOptions options) : options_(std::move(options)) {}
  ~Body() override {
    files_.set_wakeup(nullptr);
    if (!link_ended_ && endpoint_ != nullptr) endpoint_->disconnect("copied");
    const auto until = shard_.now() + kGoodbye;
    while (link_ && !link_ended_ && shard_.now() < until) shard_.turn(kGoodbye);
    link_.reset();
  }

  Status start(UniqueFd socket);
  Status run_until(const std::function<bool()>& done);
  void keep_alive() {
    flush();
    if (!link_ended_) shard_.turn(std::chrono::milliseconds(0));
  }

  // ssh::ClientHandler
  Status on_host_key(const ssh::PublicKey& key, const ssh::Certificate* certificate) override {
    return check_node_certificate(key, certificate, options_.host_cas, options_.node, shard_.clock().now());
  }
  void on_banner(std::string_view text) override {
    if (options_.show_banner) options_.show_banner(safe_lines(text));
  }
  void on_challenge(const ssh::KeyboardInteractiveChallenge& challenge, ssh::ChallengeResponder responder) override;
  void on_authenticated() override { channel_ = endpoint_->open_channel(ssh::SessionOpen{}, handler_); }
  void on_closed(const Error& error) override { fail_with(error); }

  SftpOptions options_;
  ssh::sftp::Client files_;

 private:
  class Handler final : public ssh::ChannelHandler {
   public:
    explicit Handler(Body& body) : body_(body) {}
    void on_open(ssh::Channel channel) override { body_.on_channel(std::move(channel)); }
    void on_open_failed(ssh::OpenFailure, std::string_view text) override {
      body_.fail_with({ErrorCode::kPermissionDenied, fmt::format("the node refused the session: {}", printable(text))});
    }
    void on_data(BytesView data, ssh::DataKind kind) override { body_.on_data(data, kind); }
    void on_writable() override { body_.flush(); }
    void on_eof() override { body_.on_channel_end(); }
    void on_closed() override { body_.on_channel_end(); }

   private:
    Body& body_;
  };

  void on_channel(ssh::Channel channel);
  void on_data(BytesView data, ssh::DataKind kind);
  void on_channel_end();
  void flush();
  void fail_with(Error error) {
    if (!failure_) failure_ = std::move(error);
    files_.end(*failure_);
  }

  net::Shard shard_;
  std::unique_ptr<net::SshLink> link_;
  ssh::ClientEndpoint* endpoint_ = nullptr;  // link_'s
  std::shared_ptr<Handler> handler_ = std::make_shared<Handler>(*this);
  ssh::Channel channel_;
  bool link_ended_ = false;
  bool started_ = false;
  bool ready_ = false;
  std::string said_;  // on standard error: why there is no SFTP
  std::optional<Error> failure_;
};

Status SftpConnection::Body::start(UniqueFd socket) {
  MEZ_CHECK(net::prepare_socket(socket.get()));
  auto endpoint = std::make_unique<ssh::ClientEndpoint>(
      node_client_config(options_.login, options_.identities, options_.answer_prompt), *this, shard_.clock());
  endpoint_ = endpoint.get();
  const auto on_link_end = [this](Status status) {
    link_ended_ = true;
    if (!status) return fail_with(status.error());
    fail_with({ErrorCode::kUnavailable, fmt::format("{} closed the connection", options_.node)});
  };
  link_ = std::make_unique<net::SshLink>(shard_, std::move(socket), std::move(endpoint), Bytes(), on_link_end,
                                         net::SshLinkOptions{.close_limit = std::chrono::seconds(1)});
  return run_until([this] { return ready_; });
}

Status SftpConnection::Body::run_until(const std::function<bool()>& done) {
  for (;;) {
    flush();
    if (done()) return {};
    if (failure_) return std::unexpected(*failure_);
    if (ready_ && files_.error()) return std::unexpected(*files_.error());
    shard_.turn(kTurn);
  }
}

void SftpConnection::Body::on_challenge(const ssh::KeyboardInteractiveChallenge& challenge,
                                        ssh::ChallengeResponder responder) {
  if (options_.answer_prompt && !challenge.instruction.empty()) on_banner(challenge.instruction);
  answer_challenge(challenge, options_.answer_prompt, std::move(responder));
}

void SftpConnection::Body::on_channel(ssh::Channel channel) {
  channel_ = std::move(channel);
  channel_.request(ssh::SubsystemRequest{"sftp"}, [this](bool granted) {
    if (!granted) {
      return fail_with(
          {ErrorCode::kUnavailable,
           fmt::format("{} has no SFTP; ask for OpenSSH's sftp-server to be installed there", options_.node)});
    }
    started_ = true;
    files_.start([this](Status status) {
      if (status) {
        ready_ = true;
      } else if (!failure_) {
        fail_with({status.error().code, fmt::format("the SFTP server of {} can't be talked to: {}; does a start file "
                                                    "of the login's shell print something?",
                                                    options_.node, status.error().message)});
      }
    });
    flush();
  });
}

void SftpConnection::Body::on_data(BytesView data, ssh::DataKind kind) {
  if (kind == ssh::DataKind::kStderr) {
    said_ += as_text(data).substr(0, kMaxSaidBytes - std::min(kMaxSaidBytes, said_.size()));
  } else {
    files_.feed(data);
  }
  channel_.consumed(data.size());
  flush();
}

void SftpConnection::Body::on_channel_end() {
  std::string why = std::string(trim(said_));
  if (why.empty()) why = "its SFTP server ended";
  fail_with({ready_ ? ErrorCode::kUnavailable : ErrorCode::kPermissionDenied,
             fmt::format("{}: {}", options_.node, printable(why))});
}

void SftpConnection::Body::flush() {
  while (started_ && files_.output_size() > 0) {
    const BytesView bytes = files_.pending_output();
    const std::size_t sent = channel_.write(bytes);
    if (sent == 0) return;  // on_writable() comes
    files_.consume_output(sent);
  }
}

SftpConnection::SftpConnection(std::unique_ptr<Body> body) : body_(std::move(body)) {}
SftpConnection::~SftpConnection() = default;

Result<std::unique_ptr<SftpConnection>> SftpConnection::open(UniqueFd socket, SftpOptions options) {
  auto body = std::make_unique<Body>(std::move(options));
  MEZ_CHECK(body->start(std::move(socket)));
  return std::unique_ptr<SftpConnection>(new SftpConnection(std::move(body)));
}

ssh::sftp::Client& SftpConnection::files() { return body_->files_; }
const std::string& SftpConnection::node() const { return body_->options_.node; }
void SftpConnection::keep_alive() { body_->keep_alive(); }
Status SftpConnection::run_until(const std::function<bool()>& done) { return body_->run_until(done); }

}  // namespace mezite::client
