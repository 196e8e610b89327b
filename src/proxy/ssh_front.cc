#include "proxy/ssh_front.hh"

#include <sys/socket.h>

#include "base/log.hh"
#include "base/text.hh"
#include "net/first_bytes.hh"
#include "net/relay.hh"
#include "proxy/user_connection.hh"

namespace mezite::proxy {
namespace {

constexpr std::string_view kTicketPreface = "MEZITE-TICKET/1 ";
constexpr std::string_view kSsh = "SSH-";
constexpr std::size_t kMaxPreface = 128;
// Some clients and every port scanner wait for the server's identification: after this they get it.
constexpr std::chrono::milliseconds kSilence{2000};

net::FirstBytesVerdict decide(BytesView bytes) {
  std::string_view text = as_text(bytes);
  bool ssh = text.starts_with(kSsh);
  bool other = !kSsh.starts_with(text.substr(0, kSsh.size())) &&
               !kTicketPreface.starts_with(text.substr(0, kTicketPreface.size()));
  bool whole = text.find('\n') != std::string_view::npos;
  return text.empty() || ssh || other || whole ? net::FirstBytesVerdict::kEnough : net::FirstBytesVerdict::kMore;
}

// "ERR <line>", then closed. The few bytes fit the empty send buffer of a new connection.
void answer_error(const UniqueFd& fd, std::string_view text) {
  std::string line = fmt::format("ERR {}\n", printable(text));
  [[maybe_unused]] ssize_t sent = ::send(fd.get(), line.data(), line.size(), MSG_NOSIGNAL);
  ::shutdown(fd.get(), SHUT_WR);
}

// Joins the user's socket with the agent's.
void join_sockets(Context& context, net::Shard& shard, UniqueFd user_fd, Bytes from_user, Dialed dialed,
                  const std::string& user, const std::string& node) {
  struct Carried {
    std::unique_ptr<net::Relay> relay;
    LiveSet::Id id = 0;
  };
  auto carried = std::make_shared<Carried>();
  carried->id = context.live.add(shard, LiveKind::kCarrying, carried, [carried_raw = carried.get()] {
    carried_raw->relay->stop({ErrorCode::kUnavailable, "the hub is stopping"});
  });
  net::RelayOptions options;
  options.first_to_b = std::move(from_user);
  options.first_to_a = to_bytes("OK\n");
  options.first_to_a.insert(options.first_to_a.end(), dialed.first_bytes.begin(), dialed.first_bytes.end());
  carried->relay = net::Relay::start(shard, std::move(user_fd), std::move(dialed.fd), std::move(options),
                                     [&context, id = carried->id, user, node](net::RelayEnd end) {
                                       log::debug("connection ended",
                                                  {{"user", user},
                                                   {"node", node},
                                                   {"to_node_bytes", end.a_to_b_bytes},
                                                   {"from_node_bytes", end.b_to_a_bytes},
                                                   {"why", end.status ? std::string() : end.status.error().message}});
                                       context.live.remove(id);
                                     });
}

void serve_ticket(Context& context, net::Shard& shard, UniqueFd fd, const net::Address& peer, std::string_view ticket,
                  Bytes rest) {
  std::optional<DialTicket> taken = context.tickets.take(ticket);
  Denial denial{.kind = audit::EventKind::kAccessDeniedTicket, .reason = "ticket"};
  if (!taken || taken->client_ip != peer.ip) {
    denial.explanation = taken ? fmt::format("a dial ticket made for {} came from {}", taken->client_ip, peer.ip)
                               : "a dial ticket is unknown, used or expired";
    denial.user_text = "the dial ticket is not good (any more): try again";
    if (taken) denial.user = taken->user;
    return answer_error(fd, deny(context, denial, peer.ip, "ticket"));
  }
  if (context.draining) return answer_error(fd, "the hub is about to restart; try again in a moment");
  auto socket = std::make_shared<UniqueFd>(std::move(fd));
  auto work = [services = &context.services, ticket = *taken, from = peer.text()] {
    return target_of_ticket(*services, ticket, from);
  };
  auto then = [&context, &shard, socket, peer, user = taken->user,
               rest = std::move(rest)](Result<DialTarget> target) mutable {
    if (!target) return answer_error(*socket, target.error().message);
    Denial unreachable{.kind = audit::EventKind::kAccessDeniedUnreachable,
                       .reason = "unreachable",
                       .user = user,
                       .node_name = target->node_name,
                       .node_id = target->node_id};
    auto dialed = [&context, &shard, socket, peer, unreachable, rest = std::move(rest)](Result<Dialed> result) mutable {
      if (!result) {
        unreachable.explanation = unreachable.user_text = result.error().message;
        return answer_error(*socket, deny(context, unreachable, peer.ip, "ticket"));
      }
      join_sockets(context, shard, std::move(*socket), std::move(rest), std::move(*result), unreachable.user,
                   unreachable.node_name);
    };
    context.router.dial(shard, std::move(*target), std::move(dialed));
  };
  if (!context.services.workers.submit(shard, std::move(work), std::move(then))) {
    answer_error(*socket, "the hub is too busy; try again in a moment");
  }
}

}  // namespace

void serve_front(Context& context, net::Shard& shard, UniqueFd fd, net::Address peer) {
  auto half = std::make_shared<HalfOpen>();
  auto pass = admit(context.front_admission, shard, peer, half);
  if (!pass) return log::debug("connection refused", {{"peer", peer.text()}, {"why", pass.error()}});
  net::read_first_bytes(shard, std::move(fd), kMaxPreface, kSilence, decide,
                        [&context, &shard, peer, pass = std::move(*pass), half](Result<net::FirstBytes> got) mutable {
                          half->end = nullptr;
                          if (!got)
                            return log::debug("connection closed", {{"peer", peer.text()}, {"why", got.error()}});
                          std::string_view text = as_text(got->bytes);
                          std::size_t line = text.find('\n');
                          if (text.starts_with(kTicketPreface) && line != std::string_view::npos) {
                            std::string ticket(text.substr(kTicketPreface.size(), line - kTicketPreface.size()));
                            Bytes rest = to_bytes(text.substr(line + 1));
                            return serve_ticket(context, shard, std::move(got->fd), peer, ticket, std::move(rest));
                          }
                          // Whatever else it is, the transport says what it makes of it (RFC 4253 §4.2).
                          auto user =
                              std::make_shared<UserConnection>(context, shard, std::move(peer), std::move(pass), half);
                          user->start(std::move(got->fd), std::move(got->bytes));
                        });
}

}  // namespace mezite::proxy
