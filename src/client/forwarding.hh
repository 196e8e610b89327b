// The forwards of `msh ssh`: listeners here and on the node, the SOCKS proxy, the user's agent and display.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "client/forward_spec.hh"
#include "client/x11_display.hh"
#include "net/acceptor.hh"
#include "net/channel_relay.hh"
#include "net/shard.hh"
#include "net/worker_pool.hh"
#include "ssh/connection/channel.hh"

namespace mezite::client {

enum class OnForwardFailure { kGoOn, kEnd };
enum class StaleSocket { kKeep, kRemove };  // StreamLocalBindUnlink

struct ForwardingOptions {
  std::vector<ForwardSpec> forwards;
  OnForwardFailure on_failure = OnForwardFailure::kGoOn;  // ExitOnForwardFailure
  StaleSocket stale_socket = StaleSocket::kKeep;
  std::string agent_socket;       // of the user's ssh-agent, for -A; empty: not forwarded
  std::optional<X11Display> x11;  // for -X
};

// What a connection's owner lends it. Not called any more once the Forwarding is gone.
struct ForwardingPeer {
  std::function<void(const ssh::ChannelOpen&, std::shared_ptr<ssh::ChannelHandler>)> open_channel;
  std::function<void(const ssh::GlobalRequest&, ssh::GlobalReplyCallback)> global_request;
  std::function<void(std::string)> tell;  // a sentence for the user
  std::function<void(Error)> fail;        // a forward failed that must not
  std::function<void()> changed;          // live() is another, or ready() may be true now
};

// On the shard of the connection.
class Forwarding : public std::enable_shared_from_this<Forwarding> {
 public:
  Forwarding(net::Shard& shard, ForwardingOptions options, ForwardingPeer peer);
  ~Forwarding();

  // The connection is authenticated: listens here, asks the node to listen there.
  void start();
  // Every listener is there, or has failed.
  bool ready() const { return started_ && waiting_ == 0; }
  // Forwarded connections that are open.
  std::size_t live() const { return live_; }
  bool any() const { return !options_.forwards.empty(); }

  // What the node opens. Only what was asked for is taken: a node may open anything at any time.
  void on_channel_open(const ssh::ChannelOpen& open, ssh::ChannelOpenResponder responder);
  bool shares_agent() const { return !options_.agent_socket.empty(); }
  const std::optional<X11Display>& x11() const { return options_.x11; }
  // The session asked for the agent or the display, and the node has granted it.
  void allow_agent() { agent_allowed_ = true; }
  void allow_x11() { x11_allowed_ = true; }

  // No new connections; those that are open go on.
  void stop_listening();

 private:
  struct Listening {
    std::unique_ptr<net::Acceptor> acceptor;
    std::string path;  // to be removed
  };
  struct Remote {
    ForwardSpec spec;
    std::string address;     // as it was asked for
    std::uint32_t port = 0;  // as the node said
    bool open = false;
  };

  void listen_here(const ForwardSpec& spec);
  void listen_there(const ForwardSpec& spec);
  void on_listening(std::size_t index, std::optional<BytesView> reply);
  void failed(const ForwardSpec& spec, std::string_view why);

  void on_local(const ForwardSpec& spec, UniqueFd fd, const net::Address& peer);
  void on_socks(UniqueFd fd, const net::Address& peer);
  void on_remote(const ForwardSpec& spec, ssh::ChannelOpenResponder responder);
  void on_remote_socks(ssh::ChannelOpenResponder responder);
  void join_with(Result<UniqueFd> connected, ssh::ChannelOpenResponder responder);
  void on_x11(ssh::ChannelOpenResponder responder);
  void connect(const ForwardPoint& target, std::move_only_function<void(Result<UniqueFd>)> then);

  std::shared_ptr<net::ChannelRelay> make_relay(UniqueFd fd, Bytes first = {});
  void count(int change);
  net::WorkerPool& workers();

  net::Shard& shard_;
  const ForwardingOptions options_;
  ForwardingPeer peer_;
  std::unique_ptr<net::WorkerPool> workers_;  // to resolve names, when a remote forward needs one
  std::vector<Listening> listening_;
  std::vector<Remote> remotes_;
  std::map<std::uint64_t, std::unique_ptr<net::Relay>> relays_;  // of the SOCKS proxy for the node
  std::uint64_t next_relay_ = 1;
  std::size_t waiting_ = 0;
  std::size_t live_ = 0;
  bool started_ = false;
  bool agent_allowed_ = false;
  bool x11_allowed_ = false;
};

}  // namespace mezite::client
