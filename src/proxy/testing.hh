// A whole proxy over a database of its own, with agents that speak the real protocol. For tests.
#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <memory>
#include <string>

#include "auth/services.hh"
#include "mezite/v1/control.pb.h"
#include "net/ssh_link.hh"
#include "net/testing.hh"
#include "proxy/control_frames.hh"
#include "proxy/proxy.hh"
#include "ssh/endpoint/client.hh"
#include "ssh/keys/private_key.hh"

namespace mezite::proxy::testing {

using net::testing::Box;

// What a command said.
struct Ran {
  int code = 0;
  std::string out;  // standard output
  std::string err;
};

class Hub {
 public:
  Hub();
  ~Hub();

  // A node in the database, with keys and host certificate.
  struct Node {
    std::string id;
    std::string name;
    std::shared_ptr<const ssh::PrivateKey> key;
    std::optional<ssh::Certificate> certificate;
  };
  Node add_node(const std::string& name, access::Labels labels);
  // Role "dev": login deploy on nodes with env=dev.
  void add_user(const std::string& name, const std::string& password = {});
  // An OpenSSH identity of the User CA in a file; gives its path. The request is filled in for the user but for what
  // the caller set.
  std::string identity_file(const std::string& user, std::function<void(pki::UserCertificateRequest&)> change = {});
  // The same key file with this certificate line.
  std::string identity_file_with(const std::string& name, const ssh::PrivateKey& key, const std::string& certificate);

  // Stock ssh to 3023 with that identity: arguments before the destination.
  Ran ssh(const std::string& identity, const std::string& user, const std::string& arguments,
          const std::string& command = {}, const std::string& input = {});
  Ran run(const std::string& command, const std::string& input = {});
  Ran curl(const std::string& arguments, const std::string& path);

  // The events of this type so far, newest first, as JSON; waits until one contains all the texts, and gives it.
  std::string wait_event(const std::string& type, const std::vector<std::string>& texts);
  std::size_t count_events(const std::string& type);

  std::filesystem::path dir;
  net::ShardPool shards{2};
  std::unique_ptr<auth::Services> services;
  std::unique_ptr<Proxy> proxy;
};

// An agent: opens the control connection and dials back; each data connection is an echo.
class FakeAgent final : public ssh::ClientHandler, public std::enable_shared_from_this<FakeAgent> {
 public:
  struct Options {
    std::string user;  // claimed node id; its own when empty
    bool refuse_dials = false;
    bool ignore_dials = false;
    std::string env = "dev";  // the label that it says it has
    std::string greeting;     // sent on each data connection before anything comes
  };
  static std::shared_ptr<FakeAgent> connect(Hub& hub, const Hub::Node& node, Options options);
  static std::shared_ptr<FakeAgent> connect(Hub& hub, const Hub::Node& node) { return connect(hub, node, {}); }
  ~FakeAgent() override;
  // Goes away while it is connected, and waits until the hub has noticed.
  void leave();

  Status on_host_key(const ssh::PublicKey& key, const ssh::Certificate* certificate) override;
  void on_authenticated() override;
  void on_closed(const Error& error) override { closed.put(error); }

  Box<bool> authenticated;
  Box<Error> closed;
  Box<std::int64_t> refreshed;
  Box<mezite::v1::Dial> dialled;

 private:
  class Control;
  FakeAgent(Hub& hub, Options options) : hub_(hub), options_(std::move(options)) {}
  void on_frame(const mezite::v1::ToAgent& message);
  void send(const mezite::v1::ToHub& message);
  void dial_back(const std::string& token);

  Hub& hub_;
  Options options_;
  net::testing::RunningShard shard_;
  int control_fd_ = -1;  // the link's
  std::unique_ptr<net::SshLink> link_;
  ssh::ClientEndpoint* endpoint_ = nullptr;
  ssh::Channel channel_;
  FrameReader frames_;
  std::vector<std::thread> echoes_;
};

}  // namespace mezite::proxy::testing
