// A client of our own library, for what stock ssh never sends. Single-threaded: its calls turn its loop until the
// answer is there.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <string>

#include "agent/session/testing.hh"
#include "net/connect.hh"
#include "net/ssh_link.hh"
#include "ssh/endpoint/client.hh"

namespace mezite::agent {

class TestClient final : public ssh::ClientHandler {
 public:
  // identity: as TestCluster::user() gives it.
  TestClient(TestNode& node, const std::string& identity, const std::string& login = own_name()) {
    auto connected = net::connect_blocking({"127.0.0.1", node.port()}, std::chrono::seconds(10));
    EXPECT_TRUE(connected);
    EXPECT_TRUE(net::prepare_socket(connected->fd.get()));
    ssh::ClientConfig config;
    config.user = login;
    config.identities.push_back({std::make_shared<ssh::PrivateKey>(ssh::PrivateKey::from_pem(slurp(identity)).value()),
                                 ssh::Certificate::from_text(slurp(identity + "-cert.pub")).value()});
    auto endpoint = std::make_unique<ssh::ClientEndpoint>(std::move(config), *this, shard_.clock());
    endpoint_ = endpoint.get();
    link_ =
        std::make_unique<net::SshLink>(shard_, std::move(connected->fd), std::move(endpoint), Bytes(), [](Status) {});
    wait([&] { return authenticated_ || closed_; });
  }
  ~TestClient() override { link_.reset(); }

  struct Opened {
    bool open = false;
    bool refused = false;
    bool closed = false;
    std::string text;  // of the refusal
    std::string out;
    std::string err;
    ssh::Channel channel;
    bool settled() const { return open || refused; }
  };
  std::shared_ptr<Opened> open(const ssh::ChannelOpen& what) {
    auto opened = std::make_shared<Opened>();
    if (closed_) return opened;
    endpoint_->open_channel(what, std::make_shared<Handler>(opened));
    wait([&] { return opened->settled() || closed_; });
    return opened;
  }
  // True: granted. Nothing: the connection ended first.
  std::optional<bool> ask(const std::shared_ptr<Opened>& channel, const ssh::ChannelRequest& request) {
    std::optional<bool> answer;
    channel->channel.request(request, [&](bool granted) { answer = granted; });
    wait([&] { return answer.has_value() || closed_; });
    return answer;
  }
  std::optional<bool> ask(const ssh::GlobalRequest& request) {
    std::optional<bool> answer;
    if (closed_) return answer;
    endpoint_->global_request(request, [&](std::optional<BytesView> reply) { answer = reply.has_value(); });
    wait([&] { return answer.has_value() || closed_; });
    return answer;
  }
  template <class Condition>
  void wait(Condition condition) {
    SteadyTime end = shard_.now() + std::chrono::seconds(30);
    while (!condition()) {
      ASSERT_LT(shard_.now(), end) << "waited in vain";
      shard_.turn(std::chrono::milliseconds(50));
    }
  }
  bool authenticated() const { return authenticated_; }
  bool closed() const { return closed_; }
  const std::string& farewell() const { return farewell_; }
  ssh::ClientEndpoint& endpoint() { return *endpoint_; }

  Status on_host_key(const ssh::PublicKey&, const ssh::Certificate*) override { return {}; }
  void on_authenticated() override { authenticated_ = true; }
  void on_closed(const Error& error) override {
    closed_ = true;
    farewell_ = error.message;
  }

 private:
  class Handler final : public ssh::ChannelHandler {
   public:
    explicit Handler(std::shared_ptr<Opened> opened) : opened_(std::move(opened)) {}
    void on_open(ssh::Channel channel) override {
      opened_->channel = std::move(channel);
      opened_->open = true;
    }
    void on_open_failed(ssh::OpenFailure, std::string_view text) override {
      opened_->refused = true;
      opened_->text = text;
    }
    void on_data(BytesView data, ssh::DataKind kind) override {
      (kind == ssh::DataKind::kStderr ? opened_->err : opened_->out) += as_text(data);
      opened_->channel.consumed(data.size());
    }
    void on_closed() override { opened_->closed = true; }

   private:
    std::shared_ptr<Opened> opened_;
  };

  net::Shard shard_;
  ssh::ClientEndpoint* endpoint_ = nullptr;
  bool authenticated_ = false;
  bool closed_ = false;
  std::string farewell_;
  std::unique_ptr<net::SshLink> link_;
};

}  // namespace mezite::agent
