// Which message is legal in which state, as data. A pair that is not listed is a protocol error, decided before any
// handler runs: libssh CVE-2018-10933 (the server took the client's end of the conversation), Erlang CVE-2025-32433
// (connection messages before authentication) and Terrapin (CVE-2023-48795) were all handlers that ran when they
// should not have.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "ssh/transport/transport.hh"

namespace mezite::ssh {

// What the receiving side waits for.
enum class Stage : std::uint8_t {
  kKexInit,     // the peer's first KEXINIT
  kKexGuess,    // the packet that the peer guessed wrongly, to be skipped
  kKexMethod,   // KEX_ECDH_INIT (server) or KEX_ECDH_REPLY (client)
  kKexNewKeys,  // NEWKEYS
  kService,     // encrypted, no service yet
  kUserauth,    // phase kUserauth
  kConnection,  // phase kConnection
  kRekeyGuess,  // as above, in a later key exchange, after the peer's KEXINIT
  kRekeyMethod,
  kRekeyNewKeys,
};
inline constexpr std::size_t kStageCount = 10;

enum class Action : std::uint8_t {
  kRefuse,   // not listed: protocol error
  kDiscard,  // legal and without effect
  kPeerDisconnect,
  kKexInit,
  kSkipGuess,
  kKexMethod,
  kNewKeys,
  kServiceRequest,
  kServiceAccept,
  kExtInfo,
  kPing,
  kDeliver,        // to the PacketSink
  kUnimplemented,  // unassigned number: RFC 4253 §11.4
};

// Stages as a set.
using StageSet = std::uint16_t;
constexpr StageSet stage_bit(Stage stage) { return static_cast<StageSet>(1u << static_cast<unsigned>(stage)); }

struct Transition {
  Action action = Action::kRefuse;
  // Also refused in the first key exchange under strict KEX (OpenSSH's PROTOCOL §1.9).
  bool refused_when_strict = false;
  StageSet next = 0;  // where the message may lead; 0: it does not move the stage
};

// The role is the receiver's.
const Transition& find_transition(Role receiver, Stage stage, std::uint8_t message);

// The whole table as text, one line for each (role, stage, range of messages); the same for the same program.
std::string print_message_table();

std::string_view stage_name(Stage stage);
std::string_view action_name(Action action);

}  // namespace mezite::ssh
