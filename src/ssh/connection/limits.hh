// The bounds of one connection. Each is enforced before anything is allocated.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>

namespace mezite::ssh {

class WindowBudget;  // ssh/connection/window.hh

struct ConnectionLimits {
  std::uint32_t window_bytes = 2u << 20;            // receive window that each channel starts with
  std::uint32_t max_window_bytes = 32u << 20;       // how far it may grow with the bandwidth-delay product
  std::size_t max_window_growth_bytes = 64u << 20;  // what the windows of a connection may grow by, all together
  WindowBudget* window_budget = nullptr;       // for all connections; null: the process's (ssh/connection/window.hh)
  std::uint32_t max_packet_bytes = 32u << 10;  // largest data packet that we take, at most 64 KiB
  std::size_t max_channels = 256;              // open or opening, both directions together
  std::size_t max_pending_opens = 32;          // opens of the peer that wait for an answer
  std::size_t max_pending_replies = 128;       // unanswered requests with want_reply, for each channel and globally
  std::size_t output_high_water_bytes = 1u << 20;  // channels stop writing while more than this waits to be sent
};

// keepalive@openssh.com of ours: asked each interval in which nothing came from the peer; after max_unanswered of them
// the connection is closed with ErrorCode::kTimeout. interval 0: never.
struct Keepalive {
  std::chrono::milliseconds interval{0};
  unsigned max_unanswered = 3;
};

}  // namespace mezite::ssh
