#include "auth/passphrase.hh"

#include <algorithm>
#include <optional>

#include "auth/record.hh"
#include "base/log.hh"
#include "store/settings.hh"

namespace mezite::auth {
namespace {

constexpr std::string_view kUnrecorded = "secret_box.unrecorded_change";

Status forget_note(Services& services) {
  MEZ_TRY(auto transaction, services.database->begin());
  MEZ_CHECK(transaction.execute("DELETE FROM settings WHERE name = ?1", {kUnrecorded}));
  return transaction.commit();
}

}  // namespace

Status change_passphrase(Services& services, const Caller& caller, const Secret& old_passphrase,
                         const Secret& new_passphrase) {
  audit::Event event = event_by(services, caller, audit::EventKind::kCaPassphraseChanged);
  event.resource_type = "ca";
  event.resource_name = "passphrase";
  const Status changed = services.secret_box->change_passphrase(
      *services.database, old_passphrase, new_passphrase, [&](store::Session& transaction) {
        return store::put_setting(transaction, kUnrecorded, event.id + ' ' + event.user_name);
      });
  if (!changed) {
    event.success = false;
    event.error_message = changed.error().message;
    MEZ_CHECK(record(services, event));
    return changed;
  }
  log::warn(
      "the passphrase was changed: set ca_key_passphrase or MEZITE_CA_KEY_PASSPHRASE to the new one before the "
      "hub's next start");
  MEZ_CHECK(record(services, event));
  return forget_note(services);
}

Status settle_passphrase_change(Services& services) {
  std::optional<std::string> note;
  {
    MEZ_TRY(auto reader, services.database->snapshot());
    MEZ_TRY(note, store::get_setting(reader, kUnrecorded));
  }
  if (!note) return {};
  audit::Event event = audit::make_event(audit::EventKind::kCaPassphraseChanged, services.clock);
  event.resource_type = "ca";
  event.resource_name = "passphrase";
  const std::size_t space = std::min(note->find(' '), note->size());
  event.id = note->substr(0, space);  // an event that was written already is not written twice
  event.user_name = note->substr(std::min(space + 1, note->size()));
  MEZ_CHECK(record(services, event));
  return forget_note(services);
}

}  // namespace mezite::auth
