// What the connection keeps for each channel. Not for users of channels.
#pragma once

#include <deque>
#include <memory>
#include <vector>

#include "ssh/connection/channel.hh"
#include "ssh/connection/states.hh"
#include "ssh/connection/window.hh"

namespace mezite::ssh {

// A request of the peer that wants a reply; replies go out in the order of the requests (RFC 4254 §5.4).
struct PendingReply {
  enum class Answer { kNone, kSuccess, kFailure };
  std::uint64_t ticket = 0;
  Answer answer = Answer::kNone;
  Bytes payload;              // REQUEST_SUCCESS only
  bool sends_payload = true;  // RFC 4254 §7.1: the port goes back only when port 0 was asked for
};

// Alive as long as the connection lists it or somebody holds a handle; `connection` is null once the channel is gone.
class ChannelCore {
 public:
  ConnectionCore* connection = nullptr;
  ChannelState state = ChannelState::kClosed;
  std::shared_ptr<ChannelHandler> handler;

  std::uint32_t id = 0;
  std::uint32_t peer_id = 0;

  // Sending.
  std::uint32_t peer_window = 0;
  std::uint32_t max_send = 0;
  bool eof_sent = false;
  bool eow_sent = false;
  bool blocked = false;  // a write fell short: on_writable() is owed
  bool in_writable_queue = false;
  bool close_when_open = false;  // close() came before the answer to our open
  std::uint64_t sent = 0;        // 64 bits: 4 GiB is not the end (x/crypto CVE-2026-39834)

  // Receiving.
  std::uint32_t window_target = 0;  // what window, owed and to_grant add up to
  std::uint32_t window_growth = 0;  // what of that was taken from the budgets
  WindowMeter meter;
  std::uint32_t window = 0;    // what the peer may still send
  std::uint32_t owed = 0;      // received, not yet consumed
  std::uint32_t to_grant = 0;  // consumed, not yet given back
  std::uint64_t received = 0;
  std::uint32_t env_requests = 0;
  bool peer_stopped_reading = false;  // eow@openssh.com has come

  std::vector<PendingReply> replies;
  std::deque<Channel::ReplyCallback> expected_replies;  // of our requests
};

}  // namespace mezite::ssh
