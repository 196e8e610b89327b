#include "auth/use/ca_rotation.hh"

#include <nlohmann/json.hpp>

#include "auth/record.hh"
#include "auth/use/retired_keys.hh"
#include "base/log.hh"
#include "base/text.hh"

namespace mezite::auth {
namespace {

using Json = nlohmann::json;
using pki::AuthorityType;
using pki::RotationStep;

constexpr std::size_t kMaxFingerprints = 8;
constexpr std::size_t kMaxFingerprintBytes = 64;
constexpr std::size_t kMaxNamesInError = 20;

std::vector<std::string> bounded(const std::vector<std::string>& fingerprints) {
  std::vector<std::string> out;
  for (const std::string& one : fingerprints) {
    if (out.size() < kMaxFingerprints) out.push_back(printable(one.substr(0, kMaxFingerprintBytes)));
  }
  return out;
}

std::string text_of(const Json& object, const char* key) {
  auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->get<std::string>() : std::string();
}

// What a node said of one CA; nothing when it never did.
std::optional<pki::AgentStanding> standing_of(const identity::Node& node, AuthorityType type) {
  Json report = Json::parse(node.ca_report, nullptr, false);
  if (!report.is_object()) return std::nullopt;
  pki::AgentStanding standing;
  if (auto revision = report.find("revision"); revision != report.end() && revision->is_number_integer()) {
    standing.revision = revision->get<std::int64_t>();
  }
  auto trusted = report.find(std::string(pki::to_text(type)));
  if (trusted != report.end() && trusted->is_array()) {
    for (const Json& one : *trusted) {
      if (one.is_string()) standing.trusted.insert(one.get<std::string>());
    }
  }
  standing.ssh_signer = text_of(report, "ssh_signer");
  standing.x509_signer = text_of(report, "x509_signer");
  return standing;
}

Result<CaView> view_ca(Services& services, AuthorityType type) {
  MEZ_TRY(std::vector<CaView> views, view_cas(services));
  return std::move(views.at(static_cast<std::size_t>(type)));
}

std::string names_of(const std::vector<std::string>& names) {
  std::vector<std::string> shown(names.begin(),
                                 names.begin() + static_cast<std::ptrdiff_t>(std::min(names.size(), kMaxNamesInError)));
  std::string text = join(shown, ", ");
  if (names.size() > shown.size()) text += fmt::format(" and {} more", names.size() - shown.size());
  return text;
}

audit::Event event_of(const Services& services, const Caller& caller, audit::EventKind kind, AuthorityType type) {
  audit::Event event = event_by(services, caller, kind);
  event.resource_type = "ca";
  event.resource_name = std::string(pki::to_text(type));
  return event;
}

// The step, and what belongs to it: its event is stored with it as a note until the audit log has it.
Status take_step(Services& services, const Caller& caller, AuthorityType type, RotationStep step, audit::EventKind kind,
                 const std::vector<std::string>& cut_off) {
  MEZ_TRY(CaView before, view_ca(services, type));
  MEZ_TRY(pki::Transition planned, pki::next_rotation(type, before.ca.rotation, step));
  bool swaps = planned.keys == pki::KeyChange::kSwap;
  audit::Event event = event_of(services, caller, kind, type);
  event.details = audit::Details()
                      .add("from_phase", pki::to_text(planned.from.phase))
                      .add("phase", pki::to_text(planned.to.phase))
                      .add("state", pki::to_text(planned.to.state))
                      .add("signing_key", swaps ? before.ca.keys.standby : before.ca.keys.active)
                      .add("cut_off", cut_off)
                      .text();
  std::string note = audit::to_canonical_json(event);
  MEZ_TRY(pki::Transition done,
          services.authority->step(type, step, note, *services.database, *services.secret_box, *services.key_store));
  log::info(
      "a CA was taken to another phase",
      {{"ca", pki::to_text(type)}, {"phase", pki::to_text(done.to.phase)}, {"state", pki::to_text(done.to.state)}});
  // The hub shows certificates of the key that signs now before it says that this is done.
  Status reissued = services.reissue_own_certificates();
  services.announce_revision();
  MEZ_CHECK(record(services, event));
  MEZ_CHECK(pki::Authority::settle(*services.database, note));
  if (planned.keys == pki::KeyChange::kDropStandby) settle_retired_keys(services);
  if (reissued) return {};
  return fail(reissued.error().code,
              "the {} CA is in phase {}, but the hub could not issue its own certificates anew: {}; restart the hub",
              pki::to_text(type), pki::to_text(done.to.phase), reissued.error().message);
}

}  // namespace

std::string to_json(const CaReport& report) {
  Json json = {{"revision", report.revision},
               {"user", bounded(report.user)},
               {"host", bounded(report.host)},
               {"spiffe", bounded(report.spiffe)},
               {"ssh_signer", printable(report.ssh_signer.substr(0, kMaxFingerprintBytes))},
               {"x509_signer", printable(report.x509_signer.substr(0, kMaxFingerprintBytes))}};
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

Result<std::vector<CaView>> view_cas(Services& services) {
  MEZ_TRY(std::vector<identity::Node> nodes, services.identity->nodes.list());
  MEZ_TRY(std::vector<pki::RetiredKey> retired, services.retired_keys->list());
  std::vector<CaView> views;
  for (pki::AuthorityStatus& ca : services.authority->status()) {
    CaView view{.ca = std::move(ca), .lagging = {}, .cut_off = {}, .retired = {}};
    bool can_advance = pki::next_rotation(view.ca.type, view.ca.rotation, RotationStep::kAdvance).has_value();
    for (const identity::Node& node : nodes) {
      auto standing = standing_of(node, view.ca.type);
      if (!pki::is_caught_up(view.ca.type, view.ca.keys, standing)) view.lagging.push_back(node.name);
      if (can_advance && pki::is_cut_off_by_advance(view.ca.type, view.ca.rotation, view.ca.keys, standing)) {
        view.cut_off.push_back(node.name);
      }
    }
    for (const pki::RetiredKey& key : retired) {
      if (key.ca_type == pki::to_text(view.ca.type)) view.retired.push_back(key);
    }
    views.push_back(std::move(view));
  }
  return views;
}

Status rotate_ca(Services& services, const Caller& caller, AuthorityType type) {
  MEZ_CHECK(take_step(services, caller, type, RotationStep::kRotate, audit::EventKind::kCaRotationStarted, {}));
  Status made = take_step(services, caller, type, RotationStep::kKeyMade, audit::EventKind::kCaRotationAdvanced, {});
  if (made) return {};
  audit::Event event = event_of(services, caller, audit::EventKind::kCaRotationFailed, type);
  event.error_message = made.error().message;
  MEZ_CHECK(record(services, event));
  return fail(made.error().code,
              "the {0} CA stays at init on its old key: {1}; then mezctl ca rotate --type={0} tries again, mezctl ca "
              "rollback --type={0} gives up",
              pki::to_text(type), made.error().message);
}

Status advance_ca(Services& services, const Caller& caller, AuthorityType type, Force force) {
  MEZ_TRY(CaView view, view_ca(services, type));
  MEZ_TRY(pki::Transition planned, pki::next_rotation(type, view.ca.rotation, RotationStep::kAdvance));
  if (!view.cut_off.empty() && force == Force::kNo) {
    return fail(
        ErrorCode::kFailedPrecondition,
        "{} {} not caught up with the {} CA and would be cut off: {}; wait, restart mezd there, or give --force "
        "to go on without",
        view.cut_off.size(), view.cut_off.size() == 1 ? "node has" : "nodes have", pki::to_text(type),
        names_of(view.cut_off));
  }
  // A hub that still shows certificates of the key that is about to go would be lost to everybody.
  if (planned.keys == pki::KeyChange::kDropStandby) MEZ_CHECK(services.reissue_own_certificates());
  bool ends = planned.to.phase == pki::RotationPhase::kComplete;
  return take_step(services, caller, type, RotationStep::kAdvance,
                   ends ? audit::EventKind::kCaRotationCompleted : audit::EventKind::kCaRotationAdvanced, view.cut_off);
}

Status roll_back_ca(Services& services, const Caller& caller, AuthorityType type) {
  return take_step(services, caller, type, RotationStep::kRollback, audit::EventKind::kCaRotationRolledBack, {});
}

}  // namespace mezite::auth
