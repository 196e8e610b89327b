#include "auth/use/retired_keys.hh"

#include "auth/record.hh"
#include "base/log.hh"

namespace mezite::auth {

void settle_retired_keys(Services& services) {
  auto settled = services.retired_keys->settle();
  if (!settled) return log::warn("keys that were rotated out could not be looked after", {{"error", settled.error()}});
  for (const pki::RetiredKey& key : *settled) {
    audit::Event event = audit::make_event(
        key.deleted_at ? audit::EventKind::kCaKeyRetired : audit::EventKind::kCaKeyLeft, services.clock);
    event.resource_type = "ca";
    event.resource_name = key.ca_type;
    event.error_message = key.problem;
    audit::Details details;
    details.add("alias", key.kms.alias).add("key_id", key.kms.key_id);
    if (key.deleted_at) details.add("deleted_at", to_rfc3339(*key.deleted_at));
    event.details = details.text();
    if (Status stored = record(services, event); !stored) {
      log::error("the audit log does not take what became of a CA key", {{"error", stored.error()}});
    }
  }
}

}  // namespace mezite::auth
