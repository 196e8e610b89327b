// Explores every order of steps, joins, restarts, crashes and lost messages on a small cluster, with the real table and
// the real rule of who would be cut off. What is modelled of an agent is in docs/ca-rotation.md.
#include <gtest/gtest.h>

#include <array>
#include <deque>
#include <functional>
#include <set>
#include <unordered_set>

#include "pki/authority.hh"
#include "pki/rotation.hh"

namespace mezite::pki {
namespace {

constexpr std::size_t kMaxAgents = 2;
constexpr auto kSwapAndDrop = static_cast<KeyChange>(100);  // what the product must not do

// Keys are numbers from 1 on; a set of keys is a mask; 0 is none.
using Key = std::uint8_t;
constexpr std::uint8_t mask(Key key) { return static_cast<std::uint8_t>(key == 0 ? 0u : 1u << key); }
std::string name(Key key) { return key == 0 ? std::string() : std::string(1, static_cast<char>('a' + key)); }

struct Standing {
  std::uint8_t known = 0;  // false: never said
  std::uint8_t trusted = 0;
  Key ssh_signer = 0, x509_signer = 0;
  std::uint8_t revision = 0;
  auto operator<=>(const Standing&) const = default;

  std::optional<AgentStanding> real() const {
    if (!known) return std::nullopt;
    AgentStanding out{
        .revision = revision, .trusted = {}, .ssh_signer = name(ssh_signer), .x509_signer = name(x509_signer)};
    for (Key key = 1; key < 8; ++key) {
      if (trusted & mask(key)) out.trusted.insert(name(key));
    }
    return out;
  }
};

struct Agent {
  std::uint8_t joined = 0;
  std::uint8_t connected = 0;
  Standing has;
  Standing told;             // what the hub has stored of it
  Standing said;             // a report on its way, as old as it may be
  Standing bundle, renewal;  // on their way to it: the trusted keys, and those with new certificates
  auto operator<=>(const Agent&) const = default;
};

struct World {
  std::uint8_t phase = 0, state = 0;
  std::uint8_t revision = 1;
  Key active = 1, standby = 0, made = 1;
  Key token_pin = 0;  // of a join token that nobody has used yet
  std::array<Agent, kMaxAgents> agents{};
  auto operator<=>(const World&) const = default;

  Rotation rotation() const { return {static_cast<RotationPhase>(phase), static_cast<RotationState>(state)}; }
  std::uint8_t trusted() const { return static_cast<std::uint8_t>(mask(active) | mask(standby)); }
  std::string packed() const { return {reinterpret_cast<const char*>(this), sizeof *this}; }
};

// What the product does, to be broken on purpose below.
struct Rules {
  AuthorityType type = AuthorityType::kHost;
  std::size_t agents = 2;
  Key max_keys = 2;
  bool late_messages = false;       // those of before a step may arrive after it
  bool refuses_old_bundles = true;  // the agent does
  bool cross_certificates = true;   // a hub proves its signing key to those who trust the other one only
  std::function<bool(AuthorityType, Rotation, const KeyPair&, const std::optional<AgentStanding>&)> cut_off =
      is_cut_off_by_advance;
  std::function<Result<Transition>(AuthorityType, Rotation, RotationStep)> next = next_rotation;
};

class Explorer {
 public:
  explicit Explorer(Rules rules) : rules_(std::move(rules)) {}

  // The first thing that goes wrong, with what led to it; empty when nothing ever does.
  std::string explore() {
    World first;
    first.phase = static_cast<std::uint8_t>(RotationPhase::kComplete);
    first.state = static_cast<std::uint8_t>(RotationState::kStandby);
    add(first);
    while (!waiting_.empty() && problem_.empty()) {
      World world = waiting_.front();
      waiting_.pop_front();
      steps(world);
      for (std::size_t i = 0; i < rules_.agents && problem_.empty(); ++i) agent(world, i);
    }
    return problem_;
  }
  std::size_t states() const { return seen_.size(); }
  bool reached(Rotation rotation) const { return rotations_.contains(pack(rotation)); }

 private:
  static int pack(Rotation rotation) { return static_cast<int>(rotation.phase) * 8 + static_cast<int>(rotation.state); }

  void add(const World& world) {
    check(world);
    rotations_.insert(pack(world.rotation()));
    if (seen_.insert(world.packed()).second) waiting_.push_back(world);
  }

  // ---- what must hold in every state

  bool host() const { return rules_.type == AuthorityType::kHost; }
  bool trusts_hub(const World& world, const Agent& agent) const {
    if (!host()) return true;
    std::uint8_t provable = rules_.cross_certificates ? world.trusted() : mask(world.active);
    return agent.has.trusted & provable;
  }
  bool is_trusted(const World& world, const Agent& agent) const {
    return !host() || (world.trusted() & mask(agent.has.x509_signer));
  }

  void check(const World& world) {
    bool two = world.phase == static_cast<std::uint8_t>(RotationPhase::kUpdateClients) ||
               world.phase == static_cast<std::uint8_t>(RotationPhase::kUpdateServers);
    expect(two == (world.standby != 0), "a standby key in the wrong phase", world);
    expect(world.active != world.standby, "one key in both places", world);
    for (const Agent& agent : world.agents) {
      if (!agent.joined) continue;
      // It can always fetch the bundle and new certificates: that is what "not stranded" means.
      expect(trusts_hub(world, agent), "an agent that can't verify the hub", world);
      expect(is_trusted(world, agent), "an agent whose certificate the hub refuses", world);
      // A session is let in with the present revision only; then what it is decided with must be the present keys.
      if (agent.has.revision == world.revision)
        expect(agent.has.trusted == world.trusted(), "a retired key is trusted, or a new one not", world);
    }
  }

  void expect(bool holds, const char* what, const World& world) {
    if (holds || !problem_.empty()) return;
    problem_ = fmt::format("{}: phase {} ({}), active {}, standby {}", what, to_text(world.rotation().phase),
                           to_text(world.rotation().state), world.active, world.standby);
    for (const Agent& agent : world.agents) {
      problem_ += fmt::format("; agent trusts {:b}, signers {} {}", agent.has.trusted, agent.has.ssh_signer,
                              agent.has.x509_signer);
    }
  }

  // ---- what can happen

  void steps(const World& world) {
    for (RotationStep step :
         {RotationStep::kRotate, RotationStep::kKeyMade, RotationStep::kAdvance, RotationStep::kRollback}) {
      auto transition = rules_.next(rules_.type, world.rotation(), step);
      if (!transition) continue;
      if (step == RotationStep::kKeyMade && world.made == rules_.max_keys) continue;
      if (step == RotationStep::kAdvance && anyone_cut_off(world)) continue;
      World next = world;
      KeyChange keys = transition->keys;
      if (keys == KeyChange::kAddStandby) next.standby = ++next.made;
      if (keys == KeyChange::kSwap || keys == kSwapAndDrop) std::swap(next.active, next.standby);
      if (keys == KeyChange::kDropStandby || keys == kSwapAndDrop) next.standby = 0;
      next.phase = static_cast<std::uint8_t>(transition->to.phase);
      next.state = static_cast<std::uint8_t>(transition->to.state);
      if (transition->keys != KeyChange::kNone) {
        ++next.revision;
        if (!rules_.late_messages) {
          for (Agent& agent : next.agents) agent.bundle = agent.renewal = {};
        }
      }
      add(next);  // the push is not delivered yet; whether it ever is, is up to agent()
      add(crashed(next));
    }
    add(crashed(world));
    World token = world;
    token.token_pin = world.active;
    add(token);
  }

  bool anyone_cut_off(const World& world) const {
    KeyPair keys{world.revision, name(world.active), name(world.standby)};
    for (const Agent& agent : world.agents) {
      if (agent.joined && rules_.cut_off(rules_.type, world.rotation(), keys, agent.told.real())) return true;
    }
    return false;
  }

  static World crashed(World world) {
    for (Agent& agent : world.agents) {
      agent.connected = 0;
      agent.said = {};
    }
    return world;
  }

  void agent(const World& world, std::size_t i) {
    if (!world.agents[i].joined) return join(world, i);
    auto change = [&](auto&& how) {
      World next = world;
      how(next.agents[i]);
      add(next);
    };
    change([](Agent& it) {  // restart, or the network fails
      it.connected = 0;
      it.said = it.bundle = it.renewal = {};
    });
    if (trusts_hub(world, world.agents[i]) && is_trusted(world, world.agents[i])) {
      // It asks for the snapshot, because of a push or at reconnect, or for new certificates.
      change([&](Agent& it) { it.bundle = {.known = 1, .trusted = world.trusted(), .revision = world.revision}; });
      if (host()) change([&](Agent& it) { it.renewal = certified(world); });
    }
    // What has arrived is written to three files, one after the other; an agent may die between any two.
    for (Standing Agent::* slot : {&Agent::bundle, &Agent::renewal}) {
      const Standing sent = world.agents[i].*slot;
      if (!sent.known || (sent.revision < world.agents[i].has.revision && rules_.refuses_old_bundles)) continue;
      for (int written = 1; written <= (sent.ssh_signer ? 3 : 1); ++written) {
        change([&](Agent& it) {
          it.has.trusted = sent.trusted;
          it.has.revision = sent.revision;
          if (written >= 2) it.has.ssh_signer = sent.ssh_signer;
          if (written >= 3) it.has.x509_signer = sent.x509_signer;
          it.*slot = {};
        });
      }
    }
    // The control connection is SSH, where there are no cross certificates.
    bool control = !host() || ((world.agents[i].has.trusted & mask(world.active)) &&
                               (world.trusted() & mask(world.agents[i].has.ssh_signer)));
    if (control) change([](Agent& it) { it.connected = 1; });
    if (world.agents[i].connected) {
      if (rules_.late_messages) {
        change([](Agent& it) { it.said = it.has; });
        if (world.agents[i].said.known) change([](Agent& it) { it.told = it.said; });
      } else {
        change([](Agent& it) { it.told = it.has; });
      }
    }
  }

  // Everything, as the hub gives it out now.
  static Standing certified(const World& world) {
    return {.known = 1,
            .trusted = world.trusted(),
            .ssh_signer = world.active,
            .x509_signer = world.active,
            .revision = world.revision};
  }

  void join(const World& world, std::size_t i) {
    // A token with the pin of a key that is trusted; the hub proves either (cross certificates again).
    std::uint8_t provable = rules_.cross_certificates || !host() ? world.trusted() : mask(world.active);
    if (world.token_pin == 0 || !(provable & mask(world.token_pin))) {
      expect(!(world.trusted() & mask(world.token_pin)), "a token of this rotation with which nobody can join", world);
      return;
    }
    World next = world;
    next.token_pin = 0;
    next.agents[i].joined = 1;
    next.agents[i].has = certified(world);
    add(next);
    add(crashed(next));
  }

  Rules rules_;
  std::deque<World> waiting_;
  std::unordered_set<std::string> seen_;
  std::set<int> rotations_;
  std::string problem_;
};

TEST(RotationModelTest, NoOrderOfEventsStrandsAnAgent) {
  for (AuthorityType type : {AuthorityType::kHost, AuthorityType::kUser, AuthorityType::kSpiffe}) {
    for (bool late : {false, true}) {
      Rules rules{.type = type, .agents = late ? std::size_t{1} : kMaxAgents, .max_keys = 2, .late_messages = late};
      Explorer explorer(rules);
      EXPECT_EQ(explorer.explore(), "") << to_text(type);
      EXPECT_GT(explorer.states(), 300u);
      for (const Transition& one : rotation_table()) EXPECT_TRUE(explorer.reached(one.to)) << to_text(one.to.phase);
      RecordProperty(fmt::format("states_{}_{}", to_text(type), late ? "late" : "two"),
                     static_cast<int>(explorer.states()));
    }
  }
}

// The explorer finds what goes wrong when a rule is left out: each of these was a way to lose agents.
TEST(RotationModelTest, EachRuleIsNeeded) {
  Rules careless;
  careless.cut_off = [](auto&&...) { return false; };
  EXPECT_NE(Explorer(careless).explore(), "") << "advance without asking who has caught up";

  Rules trust_only;
  trust_only.cut_off = [](AuthorityType, Rotation from, const KeyPair& keys, const std::optional<AgentStanding>& has) {
    return is_cut_off_by_advance(AuthorityType::kUser, from, keys, has);
  };
  EXPECT_NE(Explorer(trust_only).explore(), "") << "completing with certificates of the old key around";

  Rules ssh_only;
  ssh_only.cut_off = [](AuthorityType type, Rotation from, const KeyPair& keys, std::optional<AgentStanding> has) {
    if (has) has->x509_signer = has->ssh_signer;
    return is_cut_off_by_advance(type, from, keys, has);
  };
  EXPECT_NE(Explorer(ssh_only).explore(), "") << "an agent that died between two of its files";

  Rules hasty;
  hasty.next = [](AuthorityType type, Rotation from, RotationStep step) -> Result<Transition> {
    MEZ_TRY(Transition it, next_rotation(type, from, step));
    if (from.phase == RotationPhase::kUpdateServers && step == RotationStep::kRollback) {
      return Transition{from, step, {RotationPhase::kComplete, RotationState::kStandby}, kSwapAndDrop};
    }
    return it;
  };
  EXPECT_NE(Explorer(hasty).explore(), "") << "going back with certificates of the new key around";

  // Found by this test: a report, or a renewal, of before a rollback that arrives after it.
  Rules old_reports{.agents = 1, .late_messages = true};
  old_reports.cut_off = [](AuthorityType type, Rotation from, const KeyPair& keys, std::optional<AgentStanding> has) {
    if (has) has->revision = keys.revision;
    return is_cut_off_by_advance(type, from, keys, has);
  };
  EXPECT_NE(Explorer(old_reports).explore(), "") << "believing reports of an older revision";
  Rules old_bundles{.agents = 1, .late_messages = true, .refuses_old_bundles = false};
  EXPECT_NE(Explorer(old_bundles).explore(), "") << "agents that take older certificates";

  Rules no_cross;
  no_cross.cross_certificates = false;
  EXPECT_NE(Explorer(no_cross).explore(), "") << "a token of update_clients used in update_servers";
}

}  // namespace
}  // namespace mezite::pki
