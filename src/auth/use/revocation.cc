#include "auth/use/revocation.hh"

#include <nlohmann/json.hpp>

#include "auth/record.hh"
#include "base/text.hh"

namespace mezite::auth {
namespace {

using Json = nlohmann::json;

// No user certificate lives longer; one whose end is not known is forgotten after this.
constexpr std::chrono::hours kLongestLife = pki::kMaxUserTtl + std::chrono::hours(1);

// What the audit log says of a certificate.
struct Issued {
  std::string serial, user;
  std::optional<SystemTime> expires_at;
};

Result<std::vector<Issued>> issued_lately(Services& services, std::string_view user) {
  std::vector<Issued> found;
  audit::Filter filter;
  filter.type = "user.cert.issued";
  filter.user = user;
  filter.since = services.clock.now() - kLongestLife;
  filter.limit = audit::kMaxListLimit;
  while (true) {
    MEZ_TRY(std::vector<audit::StoredEvent> page, services.audit->list(filter));
    for (const audit::StoredEvent& stored : page) {
      Json event = Json::parse(stored.json, nullptr, false);
      if (!event.is_object() || !event.contains("details") || !event["details"].is_object()) continue;
      const Json& details = event["details"];
      Issued one{.serial = details.value("serial", ""), .user = event.value("resource_name", ""), .expires_at = {}};
      if (auto end = parse_rfc3339(details.value("expires_at", ""))) one.expires_at = *end;
      if (one.serial.empty() || (one.expires_at && *one.expires_at <= services.clock.now())) continue;
      found.push_back(std::move(one));
    }
    if (page.size() < filter.limit) return found;
    filter.before = audit::Filter::Position{page.back().timestamp_ms, page.back().sequence};
  }
}

}  // namespace

Result<std::vector<pki::Revocation>> revoke_certificates(Services& services, const Caller& caller,
                                                         const RevocationOrder& order) {
  int given = int{!order.serial.empty()} + int{!order.key_id.empty()} + int{!order.user.empty()};
  if (given != 1) {
    return fail(ErrorCode::kInvalidArgument, "give one of --serial, --key-id and --user, not {}",
                given == 0 ? "none" : "several");
  }
  std::vector<pki::Revocation> wanted;
  auto add = [&](std::string kind, std::string value, std::string user, std::optional<SystemTime> end) {
    wanted.push_back({.id = {},
                      .kind = std::move(kind),
                      .value = std::move(value),
                      .user = std::move(user),
                      .reason = order.reason,
                      .created_by = caller.name,
                      .created_at = {},
                      .expires_at = end});
  };
  if (!order.key_id.empty()) {
    add("key_id", order.key_id, "", std::nullopt);
  } else if (!order.serial.empty()) {
    MEZ_TRY(std::vector<Issued> all, issued_lately(services, ""));
    auto known = std::ranges::find(all, order.serial, &Issued::serial);
    bool is_known = known != all.end();
    add("serial", order.serial, is_known ? known->user : "",
        is_known && known->expires_at ? *known->expires_at : services.clock.now() + kLongestLife);
  } else {
    MEZ_TRY(std::vector<Issued> all, issued_lately(services, order.user));
    for (Issued& one : all) {
      add("serial", std::move(one.serial), order.user, one.expires_at.value_or(services.clock.now() + kLongestLife));
    }
    if (wanted.empty()) {
      return fail(ErrorCode::kNotFound, "{} holds no certificate that has not ended; nothing is revoked",
                  printable(order.user.substr(0, 80)));
    }
  }
  MEZ_TRY(std::vector<pki::Revocation> added, services.revocations->add(std::move(wanted)));
  services.announce_revision();
  audit::Event event = event_by(services, caller, audit::EventKind::kCertRevoked);
  event.resource_type = "user_certificate";
  event.resource_name = order.user.empty() ? (order.key_id.empty() ? order.serial : order.key_id) : order.user;
  std::vector<std::string> serials;
  for (const pki::Revocation& one : added) {
    if (one.kind == "serial") serials.push_back(one.value);
  }
  event.details =
      audit::Details().add("serials", serials).add("key_id", order.key_id).add("reason", order.reason).text();
  MEZ_CHECK(record(services, event));
  return added;
}

Status lift_revocation(Services& services, const Caller& caller, std::string_view id) {
  MEZ_TRY(pki::Revocation lifted, services.revocations->remove(id));
  services.announce_revision();
  audit::Event event = event_by(services, caller, audit::EventKind::kCertUnrevoked);
  event.resource_type = "user_certificate";
  event.resource_name = lifted.value;
  event.details = audit::Details().add("kind", lifted.kind).add("user", lifted.user).text();
  return record(services, event);
}

Result<Bytes> export_krl(Services& services) {
  MEZ_TRY(std::int64_t revision, services.identity->revision());
  return ssh::write_krl(services.revocations->current(), static_cast<std::uint64_t>(revision), services.clock.now(),
                        "mezite " + services.cluster_name());
}

}  // namespace mezite::auth
