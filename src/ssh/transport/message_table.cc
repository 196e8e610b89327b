#include "ssh/transport/message_table.hh"

#include <fmt/format.h>

#include <array>

#include "ssh/wire/message_number.hh"

namespace mezite::ssh {

namespace {

enum class Receiver : std::uint8_t { kClient, kServer, kBoth };
enum class Strict : std::uint8_t { kAllowed, kRefused };

struct Row {
  Receiver receiver;
  StageSet stages;
  std::uint8_t first;
  std::uint8_t last;
  Action action;
  StageSet next = 0;
  Strict strict = Strict::kAllowed;
};

constexpr StageSet in(std::initializer_list<Stage> stages) {
  StageSet set = 0;
  for (const Stage stage : stages) set = static_cast<StageSet>(set | stage_bit(stage));
  return set;
}

constexpr std::uint8_t n(MessageNumber number) { return static_cast<std::uint8_t>(number); }

using enum Stage;
using M = MessageNumber;

constexpr StageSet kFirstKex = in({kKexInit, kKexGuess, kKexMethod, kKexNewKeys});
constexpr StageSet kRekey = in({kRekeyGuess, kRekeyMethod, kRekeyNewKeys});
constexpr StageSet kSteady = in({kService, kUserauth, kConnection});
constexpr StageSet kEvery = kFirstKex | kRekey | kSteady;

constexpr Row kRows[] = {
    // Transport, any time. Strict KEX leaves nothing but DISCONNECT beside the first key exchange.
    {Receiver::kBoth, kEvery, n(M::kDisconnect), n(M::kDisconnect), Action::kPeerDisconnect},
    {Receiver::kBoth, kFirstKex, n(M::kIgnore), n(M::kDebug), Action::kDiscard, 0, Strict::kRefused},
    {Receiver::kBoth, kRekey | kSteady, n(M::kIgnore), n(M::kDebug), Action::kDiscard},

    // Key exchange.
    {Receiver::kBoth, in({kKexInit}), n(M::kKexInit), n(M::kKexInit), Action::kKexInit, in({kKexGuess, kKexMethod})},
    {Receiver::kBoth, kSteady, n(M::kKexInit), n(M::kKexInit), Action::kKexInit, in({kRekeyGuess, kRekeyMethod})},
    {Receiver::kBoth, in({kKexGuess}), 30, 49, Action::kSkipGuess, in({kKexMethod})},
    {Receiver::kBoth, in({kRekeyGuess}), 30, 49, Action::kSkipGuess, in({kRekeyMethod})},
    {Receiver::kServer, in({kKexMethod}), n(M::kKexEcdhInit), n(M::kKexEcdhInit), Action::kKexMethod,
     in({kKexNewKeys})},
    {Receiver::kServer, in({kRekeyMethod}), n(M::kKexEcdhInit), n(M::kKexEcdhInit), Action::kKexMethod,
     in({kRekeyNewKeys})},
    {Receiver::kClient, in({kKexMethod}), n(M::kKexEcdhReply), n(M::kKexEcdhReply), Action::kKexMethod,
     in({kKexNewKeys})},
    {Receiver::kClient, in({kRekeyMethod}), n(M::kKexEcdhReply), n(M::kKexEcdhReply), Action::kKexMethod,
     in({kRekeyNewKeys})},
    {Receiver::kBoth, in({kKexNewKeys}), n(M::kNewKeys), n(M::kNewKeys), Action::kNewKeys, in({kService})},
    {Receiver::kBoth, in({kRekeyNewKeys}), n(M::kNewKeys), n(M::kNewKeys), Action::kNewKeys, kSteady},

    // Service and extensions. RFC 8308 §2.4: EXT_INFO after the first NEWKEYS, a server's also before USERAUTH_SUCCESS.
    {Receiver::kServer, in({kService}), n(M::kServiceRequest), n(M::kServiceRequest), Action::kServiceRequest,
     in({kUserauth})},
    {Receiver::kClient, in({kService}), n(M::kServiceAccept), n(M::kServiceAccept), Action::kServiceAccept,
     in({kUserauth})},
    {Receiver::kServer, in({kService}), n(M::kExtInfo), n(M::kExtInfo), Action::kExtInfo},
    {Receiver::kClient, in({kService, kUserauth}), n(M::kExtInfo), n(M::kExtInfo), Action::kExtInfo},
    {Receiver::kBoth, kSteady, n(M::kPing), n(M::kPing), Action::kPing},
    {Receiver::kBoth, kSteady, n(M::kPong), n(M::kPong), Action::kDiscard},

    // Authentication, each side's messages only. RFC 4252 §5.1: requests after success are ignored.
    {Receiver::kServer, in({kUserauth}), n(M::kUserauthRequest), n(M::kUserauthRequest), Action::kDeliver},
    {Receiver::kServer, in({kUserauth}), n(M::kUserauthInfoResponse), n(M::kUserauthInfoResponse), Action::kDeliver},
    {Receiver::kServer, in({kConnection}), n(M::kUserauthRequest), n(M::kUserauthRequest), Action::kDiscard},
    {Receiver::kClient, in({kUserauth}), n(M::kUserauthFailure), n(M::kUserauthBanner), Action::kDeliver},
    {Receiver::kClient, in({kUserauth}), n(M::kUserauth60), n(M::kUserauth60), Action::kDeliver},

    // Connection protocol, either side's.
    {Receiver::kBoth, in({kConnection}), n(M::kGlobalRequest), n(M::kRequestFailure), Action::kDeliver},
    {Receiver::kBoth, in({kConnection}), n(M::kChannelOpen), n(M::kChannelFailure), Action::kDeliver},

    // Numbers that nobody assigned, once there are keys.
    {Receiver::kBoth, kSteady, 8, 19, Action::kUnimplemented},
    {Receiver::kBoth, kSteady, 22, 29, Action::kUnimplemented},
    {Receiver::kBoth, in({kConnection}), 83, 89, Action::kUnimplemented},
    {Receiver::kBoth, in({kConnection}), 101, 127, Action::kUnimplemented},
    {Receiver::kBoth, kSteady, 128, 191, Action::kUnimplemented},
    {Receiver::kBoth, kSteady, 194, 255, Action::kUnimplemented},
};

// The rows as one look-up per packet. Two rows for the same pair do not compile.
constexpr std::size_t kMessages = 256;
using Index = std::array<std::array<std::array<std::uint8_t, kMessages>, kStageCount>, 2>;

constexpr bool receives(Receiver receiver, std::size_t role) {
  return receiver == Receiver::kBoth || (receiver == Receiver::kServer) == (role == 1);
}

constexpr Index make_index() {
  Index index{};  // 0: not listed; k: row k − 1
  for (std::size_t row = 0; row < std::size(kRows); ++row) {
    for (std::size_t role = 0; role < 2; ++role) {
      if (!receives(kRows[row].receiver, role)) continue;
      for (std::size_t stage = 0; stage < kStageCount; ++stage) {
        if ((kRows[row].stages & stage_bit(static_cast<Stage>(stage))) == 0) continue;
        for (std::size_t message = kRows[row].first; message <= kRows[row].last; ++message) {
          if (index[role][stage][message] != 0) throw "two rows for one pair";
          index[role][stage][message] = static_cast<std::uint8_t>(row + 1);
        }
      }
    }
  }
  return index;
}
constexpr Index kIndex = make_index();

constexpr auto make_transitions() {
  std::array<Transition, std::size(kRows) + 1> transitions{};
  for (std::size_t row = 0; row < std::size(kRows); ++row) {
    transitions[row + 1] = {kRows[row].action, kRows[row].strict == Strict::kRefused, kRows[row].next};
  }
  return transitions;
}
constexpr auto kTransitions = make_transitions();

std::string stage_names(StageSet set) {
  std::string text;
  for (std::size_t stage = 0; stage < kStageCount; ++stage) {
    if ((set & stage_bit(static_cast<Stage>(stage))) == 0) continue;
    if (!text.empty()) text += '|';
    text += stage_name(static_cast<Stage>(stage));
  }
  return text;
}

std::string range_name(std::size_t first, std::size_t last) {
  if (first != last) return fmt::format("{}-{}", first, last);
  const std::string_view name = message_name(static_cast<std::uint8_t>(first));
  return name.empty() ? fmt::format("{}", first) : fmt::format("{} {}", first, name);
}

}  // namespace

const Transition& find_transition(Role receiver, Stage stage, std::uint8_t message) {
  const std::size_t role = receiver == Role::kServer ? 1 : 0;
  return kTransitions[kIndex[role][static_cast<std::size_t>(stage)][message]];
}

std::string print_message_table() {
  std::string text;
  for (const Role role : {Role::kServer, Role::kClient}) {
    for (std::size_t s = 0; s < kStageCount; ++s) {
      const auto stage = static_cast<Stage>(s);
      for (std::size_t first = 0; first < kMessages;) {
        const Transition* transition = &find_transition(role, stage, static_cast<std::uint8_t>(first));
        std::size_t last = first;
        while (last + 1 < kMessages &&
               &find_transition(role, stage, static_cast<std::uint8_t>(last + 1)) == transition) {
          ++last;
        }
        if (transition->action != Action::kRefuse) {
          text += fmt::format("{:<6} {:<12} {:<34} {}{}{}{}\n", role == Role::kServer ? "server" : "client",
                              stage_name(stage), range_name(first, last), action_name(transition->action),
                              transition->next == 0 ? "" : " -> ", stage_names(transition->next),
                              transition->refused_when_strict ? " (not under strict KEX)" : "");
        }
        first = last + 1;
      }
    }
  }
  return text;
}

std::string_view stage_name(Stage stage) {
  switch (stage) {
    case Stage::kKexInit: return "kexinit";
    case Stage::kKexGuess: return "kex-guess";
    case Stage::kKexMethod: return "kex-method";
    case Stage::kKexNewKeys: return "kex-newkeys";
    case Stage::kService: return "service";
    case Stage::kUserauth: return "userauth";
    case Stage::kConnection: return "connection";
    case Stage::kRekeyGuess: return "rekey-guess";
    case Stage::kRekeyMethod: return "rekey-method";
    case Stage::kRekeyNewKeys: return "rekey-newkeys";
  }
  return "";
}

std::string_view action_name(Action action) {
  switch (action) {
    case Action::kRefuse: return "refuse";
    case Action::kDiscard: return "discard";
    case Action::kPeerDisconnect: return "peer-disconnect";
    case Action::kKexInit: return "kexinit";
    case Action::kSkipGuess: return "skip-guess";
    case Action::kKexMethod: return "kex-method";
    case Action::kNewKeys: return "newkeys";
    case Action::kServiceRequest: return "service-request";
    case Action::kServiceAccept: return "service-accept";
    case Action::kExtInfo: return "ext-info";
    case Action::kPing: return "ping";
    case Action::kDeliver: return "deliver";
    case Action::kUnimplemented: return "unimplemented";
  }
  return "";
}

}  // namespace mezite::ssh
