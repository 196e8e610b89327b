#include "ssh/connection/states.hh"

#include <fmt/format.h>

#include <iterator>

namespace mezite::ssh {
namespace {

constexpr std::uint8_t kFirst = static_cast<std::uint8_t>(MessageNumber::kChannelOpen);
constexpr std::size_t kMessages = static_cast<std::uint8_t>(MessageNumber::kChannelFailure) - kFirst + 1;
constexpr std::uint8_t kIllegal = 0xff;

// The rules as a matrix, so that a packet costs one look.
constexpr auto kMatrix = [] {
  std::array<std::array<std::uint8_t, kMessages>, kChannelStateCount> matrix{};
  for (auto& row : matrix) row.fill(kIllegal);
  for (const ChannelRule& rule : kChannelRules) {
    matrix[static_cast<std::size_t>(rule.state)][static_cast<std::size_t>(rule.message) - kFirst] =
        static_cast<std::uint8_t>(rule.next);
  }
  return matrix;
}();

}  // namespace

std::optional<ChannelState> channel_transition(ChannelState state, MessageNumber message) {
  const std::size_t column = static_cast<std::size_t>(message) - kFirst;
  if (static_cast<std::size_t>(state) >= kMatrix.size() || column >= kMessages) return std::nullopt;
  const std::uint8_t next = kMatrix[static_cast<std::size_t>(state)][column];
  if (next == kIllegal) return std::nullopt;
  return static_cast<ChannelState>(next);
}

std::string_view channel_state_name(ChannelState state) {
  switch (state) {
    case ChannelState::kOpening: return "opening";
    case ChannelState::kDeciding: return "deciding";
    case ChannelState::kOpen: return "open";
    case ChannelState::kEofReceived: return "eof received";
    case ChannelState::kClosing: return "closing";
    case ChannelState::kClosingAfterEof: return "closing after eof";
    case ChannelState::kClosed: return "closed";
  }
  return "unknown";
}

std::string channel_rules_text() {
  std::string text;
  for (const ChannelRule& rule : kChannelRules) {
    fmt::format_to(std::back_inserter(text), "{}: {} -> {}\n", channel_state_name(rule.state),
                   message_name(static_cast<std::uint8_t>(rule.message)), channel_state_name(rule.next));
  }
  return text;
}

}  // namespace mezite::ssh
