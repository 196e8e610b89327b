// What both connection harnesses do. First byte of the input: how the owner behaves (bit 0 accepts opens, bit 1 decides
// later, bit 2 consumes what comes, bit 3 answers requests, bit 4 writes when it can, bit 5 opens channels of its own);
// the rest is messages, each a uint16 size and a payload.
#pragma once

#include <memory>
#include <utility>
#include <vector>

#include "silent_transport.hh"
#include "ssh/connection/connection.hh"

namespace mezite::fuzz {

class ConnectionWorld final : public ssh::ConnectionOwner {
 public:
  ConnectionWorld(ssh::Role role, std::uint8_t behaviour) : behaviour_(behaviour) {
    limits.window_budget = &budget;
    limits.max_channels = 16;
    connection = std::make_shared<ssh::ConnectionCore>(transport, role, limits,
                                                       ssh::Keepalive{std::chrono::seconds(1), 3}, clock, *this);
    if (does(5)) {
      connection->open_channel(ssh::SessionOpen{}, std::make_shared<Handler>(*this));
      connection->global_request("tcpip-forward", {}, [](std::optional<BytesView>) {});
    }
  }

  void run(BytesView input) {
    BytesView message;
    Status status;
    while (status && next_message(input, message)) {
      transport.output = 0;  // the peer reads all that it is sent
      status = connection->on_packet(message);
      connection->on_output_room();
      if (behaviour_ & 0x80) clock.advance(std::chrono::milliseconds(300));
      if (status) status = connection->on_time();
      // A packet has an answer or two, not a hundred.
      expect(transport.output < (8u << 20) && connection->channel_count() <= limits.max_channels);
      if (message.size() > 1 && (message.back() & 1)) answer();
    }
    answer();
    connection->end();
    expect(connection->channel_count() == 0 && budget.used() == 0 && open_channels == 0);
  }

  void on_channel_open(const ssh::ChannelOpen&, ssh::ChannelOpenResponder responder) override {
    if (does(1)) return opens_.push_back(std::move(responder));
    if (does(0)) responder.accept(std::make_shared<Handler>(*this));
  }
  void on_global_request(const ssh::GlobalRequest&, ssh::GlobalRequestResponder responder) override {
    if (does(1)) return globals_.push_back(std::move(responder));
    if (does(3)) responder.accept_port(4711);
  }
  void on_connection_output() override {}

 private:
  class Handler final : public ssh::ChannelHandler {
   public:
    explicit Handler(ConnectionWorld& world) : world_(world) {}
    void on_open(ssh::Channel channel) override {
      expect(!std::exchange(open_, true));
      ++world_.open_channels;
      channel_ = std::move(channel);
      if (world_.does(3)) channel_.request(ssh::ShellRequest{}, [](bool) {});
      write();
    }
    void on_open_failed(ssh::OpenFailure, std::string_view) override { expect(!open_); }
    void on_data(BytesView data, ssh::DataKind) override {
      expect(open_ && !data.empty());
      if (world_.does(2)) channel_.consumed(data.size());
      write();
    }
    void on_eof() override {
      expect(open_ && !std::exchange(eof_, true));
      channel_.send_eof();
    }
    void on_request(const ssh::ChannelRequest&, ssh::RequestResponder responder) override {
      expect(open_);
      if (world_.does(1)) return world_.requests_.push_back(std::move(responder));
      if (world_.does(3)) responder.accept();
    }
    void on_writable() override { write(); }
    void on_closed() override {
      expect(std::exchange(open_, false));
      --world_.open_channels;
    }

   private:
    void write() {
      if (!world_.does(4)) return;
      channel_.write(Bytes(3000));
    }
    ConnectionWorld& world_;
    ssh::Channel channel_;
    bool open_ = false;
    bool eof_ = false;
  };

  bool does(unsigned bit) const { return (behaviour_ >> bit & 1) != 0; }
  void answer() {
    for (auto& responder : std::exchange(opens_, {})) {
      if (does(0)) responder.accept(std::make_shared<Handler>(*this));
    }
    for (auto& responder : std::exchange(requests_, {})) {
      if (does(3)) responder.accept();
    }
    globals_.clear();
  }

 public:
  ManualClock clock;
  SilentTransport transport;
  ssh::WindowBudget budget{64u << 20};
  ssh::ConnectionLimits limits;
  std::shared_ptr<ssh::ConnectionCore> connection;
  int open_channels = 0;

 private:
  const std::uint8_t behaviour_;
  std::vector<ssh::ChannelOpenResponder> opens_;
  std::vector<ssh::RequestResponder> requests_;
  std::vector<ssh::GlobalRequestResponder> globals_;
};

inline void run_connection(ssh::Role role, BytesView input) {
  if (input.empty()) return;
  ConnectionWorld world(role, input[0]);
  world.run(input.subspan(1));
}

}  // namespace mezite::fuzz
