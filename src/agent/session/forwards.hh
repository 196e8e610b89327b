// What one connection forwards: ports and Unix sockets both ways, the user's ssh-agent, X11 displays. Internal to
// session/.
//
// Whether the user may is the connection's to decide, before anything here is called. Everything is done as the login
// user: Unix sockets and listeners have the user's rights, TCP sockets the user as their owner.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "agent/forward/user_helper.hh"
#include "agent/session/context.hh"
#include "agent/session/visitor.hh"
#include "net/acceptor.hh"
#include "net/channel_relay.hh"
#include "ssh/connection/channel.hh"

namespace mezite::agent {

// The bounds of one connection.
inline constexpr std::size_t kMaxRemoteForwards = 64;
inline constexpr std::size_t kMaxDisplays = 4;
// Channels that the node opens, of ConnectionLimits::max_channels: programs here can't take all of them.
inline constexpr std::size_t kMaxIncomingChannels = 128;

// A display that X11 programs on the node can use, until it is dropped.
class Display {
 public:
  const std::string& name() const { return name_; }  // "localhost:10.0", for DISPLAY

 private:
  friend class Forwards;
  std::string name_;
  std::unique_ptr<net::Acceptor> acceptor_;
};

// On the connection's shard. After close() whatever still arrives is refused.
class Forwards : public std::enable_shared_from_this<Forwards> {
 public:
  using OpenChannel = std::function<void(const ssh::ChannelOpen&, std::shared_ptr<ssh::ChannelHandler>)>;

  // For the user to read: the answer to a global request has no text.
  using TellUser = std::function<void(std::string)>;

  // open_channel and tell_user are not called after close().
  Forwards(std::shared_ptr<ServerContext> context, net::Shard& shard, std::shared_ptr<const Visitor> visitor,
           OpenChannel open_channel, TellUser tell_user);
  ~Forwards();

  // The client wants a connection made from here.
  void connect(const ssh::DirectTcpipOpen& open, ssh::ChannelOpenResponder responder);
  void connect(const ssh::DirectStreamlocalOpen& open, ssh::ChannelOpenResponder responder);

  // A remote forward is added or cancelled. One after the other, in the order of the requests: an addition that is
  // under way is over before its cancellation begins (OpenSSH CVE-2026-73282).
  void request(const ssh::GlobalRequest& request, ssh::GlobalRequestResponder responder);

  // Calls then when every request so far has been answered, at once if there is none: a program that is started after a
  // request finds its forward there, as with sshd, and a client that wants to end without it hears of it in time.
  void when_settled(std::move_only_function<void()> then);

  // The socket for SSH_AUTH_SOCK; the same one for each session of the connection.
  void share_agent(std::move_only_function<void(Result<std::string>)> then);
  // A display with the client's cookie.
  void open_display(const ssh::X11Request& request,
                    std::move_only_function<void(Result<std::shared_ptr<Display>>)> then);

  // Bytes of everything forwarded, ended or not; it grows while there is traffic.
  std::uint64_t bytes() const;
  // Forwards that the user may not have any more end, with their connections.
  void keep(const ssh::Restrictions& allowed);
  void close();

 private:
  enum class Kind { kPort, kAgent, kDisplay };
  enum class Connections { kMany, kOne };
  struct Live {
    Kind kind;
    std::weak_ptr<net::ChannelRelay> relay;
  };
  struct Remote {
    std::string listen;  // for the audit log
    std::string path;    // of a Unix socket
    std::unique_ptr<net::Acceptor> acceptor;
    std::uint64_t connections = 0;
    std::shared_ptr<std::uint64_t> bytes = std::make_shared<std::uint64_t>(0);
  };
  // "tcp", address, port or "unix", path, 0: as the client names it.
  using Key = std::tuple<std::string, std::string, std::uint32_t>;
  struct Asked {
    ssh::GlobalRequest request;
    ssh::GlobalRequestResponder responder;
  };

  void next_request();
  void answered();
  void add_port(const ssh::TcpipForwardRequest& request, ssh::GlobalRequestResponder responder);
  void add_socket(const ssh::StreamlocalForwardRequest& request, ssh::GlobalRequestResponder responder);
  bool add_remote(const Key& key, std::string listen, std::string path, std::vector<UniqueFd> fds);
  void refuse(std::string_view what, const std::string& target, const Error& error,
              ssh::GlobalRequestResponder responder);
  bool cancel(const Key& key);
  void on_incoming(const Key& key, UniqueFd fd, const net::Address& peer);
  void begin_agent(Result<UserHelper::Made> made);
  std::unique_ptr<net::Acceptor> accept_for_agent(UniqueFd listening);
  Status begin_display(const std::shared_ptr<Display>& display, Connections wanted, std::vector<UniqueFd> fds);

  std::shared_ptr<net::ChannelRelay> make_relay(Kind kind, UniqueFd fd, std::shared_ptr<std::uint64_t> count = {});
  void open_incoming(Kind kind, const ssh::ChannelOpen& open, UniqueFd fd, std::shared_ptr<std::uint64_t> count = {});
  void set_paused(bool paused);
  void end_kind(Kind kind);
  audit::Event event(audit::EventKind kind) const;
  void tell_forward(audit::EventKind kind, std::string_view what, const std::string& target, const Error* error);

  std::shared_ptr<ServerContext> context_;
  net::Shard& shard_;
  std::shared_ptr<const Visitor> visitor_;
  OpenChannel open_channel_;
  TellUser tell_user_;
  std::shared_ptr<UserHelper> helper_;
  bool closed_ = false;

  std::uint64_t next_live_ = 1;
  std::map<std::uint64_t, Live> live_;
  std::uint64_t ended_bytes_ = 0;
  std::size_t incoming_ = 0;  // of live_: those that the node opened
  bool paused_ = false;

  std::map<Key, Remote> remotes_;
  std::deque<Asked> asked_;  // bounded by ConnectionLimits::max_pending_replies
  bool busy_ = false;
  std::vector<std::move_only_function<void()>> settled_waiters_;

  std::string agent_path_;
  std::unique_ptr<net::Acceptor> agent_acceptor_;
  std::vector<std::move_only_function<void(Result<std::string>)>> agent_waiters_;
  std::vector<std::weak_ptr<Display>> displays_;
};

}  // namespace mezite::agent
