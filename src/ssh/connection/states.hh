// Which message of the peer is legal in which state of a channel (RFC 4254 §5), and where it leads. A pair that is not
// listed is a protocol error, found before any handler runs.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "ssh/wire/message_number.hh"

namespace mezite::ssh {

enum class ChannelState : std::uint8_t {
  kOpening,      // our OPEN waits for its answer
  kDeciding,     // the peer's OPEN waits for ours; the peer does not know our number yet
  kOpen,         //
  kEofReceived,  // the peer sends no more data
  kClosing,      // our CLOSE is out; what still comes is dropped
  kClosingAfterEof,
  kClosed,  // the number is free again: any message to it is for an unknown channel
};
inline constexpr std::size_t kChannelStateCount = 7;

struct ChannelRule {
  ChannelState state;
  MessageNumber message;
  ChannelState next;
};

inline constexpr auto kChannelRules = [] {
  using enum ChannelState;
  using enum MessageNumber;
  return std::to_array<ChannelRule>({
      {kOpening, kChannelOpenConfirmation, kOpen},
      {kOpening, kChannelOpenFailure, kClosed},

      {kOpen, kChannelWindowAdjust, kOpen},
      {kOpen, kChannelData, kOpen},
      {kOpen, kChannelExtendedData, kOpen},
      {kOpen, kChannelEof, kEofReceived},
      {kOpen, kChannelRequest, kOpen},
      {kOpen, kChannelSuccess, kOpen},
      {kOpen, kChannelFailure, kOpen},
      {kOpen, kChannelClose, kClosed},

      {kEofReceived, kChannelWindowAdjust, kEofReceived},
      {kEofReceived, kChannelRequest, kEofReceived},
      {kEofReceived, kChannelSuccess, kEofReceived},
      {kEofReceived, kChannelFailure, kEofReceived},
      {kEofReceived, kChannelClose, kClosed},

      {kClosing, kChannelWindowAdjust, kClosing},
      {kClosing, kChannelData, kClosing},
      {kClosing, kChannelExtendedData, kClosing},
      {kClosing, kChannelEof, kClosingAfterEof},
      {kClosing, kChannelRequest, kClosing},
      {kClosing, kChannelSuccess, kClosing},
      {kClosing, kChannelFailure, kClosing},
      {kClosing, kChannelClose, kClosed},

      {kClosingAfterEof, kChannelWindowAdjust, kClosingAfterEof},
      {kClosingAfterEof, kChannelRequest, kClosingAfterEof},
      {kClosingAfterEof, kChannelSuccess, kClosingAfterEof},
      {kClosingAfterEof, kChannelFailure, kClosingAfterEof},
      {kClosingAfterEof, kChannelClose, kClosed},
  });
}();

// Where the message leads; nothing: it is not legal.
std::optional<ChannelState> channel_transition(ChannelState state, MessageNumber message);

std::string_view channel_state_name(ChannelState state);
// The table, one "state: message -> state" a line.
std::string channel_rules_text();

}  // namespace mezite::ssh
