// The second half of the catalogue: what the details of each type of event may hold. A type without a row fails a test;
// an end-to-end test compares the rows with what is in the log.
#include <algorithm>
#include <array>

#include "audit/catalogue.hh"

namespace mezite::audit {

namespace {

struct TypeDetails {
  std::string_view type;
  const char* keys;
};

constexpr std::array kDetails = std::to_array<TypeDetails>({
    {"access.denied", "reason, login, steps, listener, while, kind, target, text"},
    {"admin.call", "uid, pid"},
    {"agent_forward", "login"},
    {"audit.checkpoint", "cluster_name, sequence, hmac, time, key_id, public_key, signature"},
    {"audit.event.refused", "event, bytes, sha256"},
    {"audit.rolled_back", "events_written, events_found, last_hmac_written, last_hmac_found"},
    {"audit.sink.failed", "delivered, last_sequence"},
    {"audit.sink.recovered", "delivered, last_sequence"},
    {"authz.denied", "verb, event, bytes, sha256, login, node"},
    {"ca.created", "fingerprint"},
    {"ca.exported", "format"},
    {"ca.key.retired", "alias, key_id, deleted_at"},
    {"ca.keys.encrypted", ""},
    {"ca.passphrase.changed", ""},
    {"ca.rotation.advanced", "from_phase, phase, state, signing_key, cut_off"},
    {"ca.rotation.completed", "from_phase, phase, state, signing_key, cut_off"},
    {"ca.rotation.failed", ""},
    {"ca.rotation.rolled_back", "from_phase, phase, state, signing_key, cut_off"},
    {"ca.rotation.started", "from_phase, phase, state, signing_key, cut_off"},
    {"cert.revoked", "serials, key_id, reason"},
    {"cert.unrevoked", "kind, user"},
    {"hub.reloaded", "version"},
    {"hub.started", "version"},
    {"hub.stopped", "version"},
    {"lock.created", "kind, name, message"},
    {"lock.deleted", "kind, name"},
    {"node.connected", "version, reason, listener"},
    {"node.joined", "token, hostname, version, host_key, replaced, aws_account, aws_arn"},
    {"node.left", "reason"},
    {"node.rejected", "reason, listener, times"},
    {"node.removed", ""},
    {"node.renewed", "host_key, host_key_changed"},
    {"port_forward", "login, kind, target, listen, connections, bytes"},
    {"recording.backlog", "waiting, set_aside, bytes, limit_bytes, oldest_age_s, policy"},
    {"role.created", ""},
    {"role.deleted", ""},
    {"role.updated", ""},
    {"session.command",
     "login, command, subsystem, exit_code, signal, pid, ppid, uid, path, arguments, arguments_cut, program_time"},
    {"session.end",
     "login, exit_code, signal, bytes_in, bytes_out, duration_ms, recorded, reason, command, subsystem, kind"},
    {"session.network", "login, address, port, protocol, pid, uid, program, times"},
    {"session.recording.accessed", "user, node"},
    {"session.recording.altered", "size_bytes, sha256"},
    {"session.recording.deleted", "user, node"},
    {"session.recording.failed", "login, while, set_aside"},
    {"session.recording.reindexed", "user, node, size_bytes, sha256, storage, vouched"},
    {"session.recording.searched", "text, user, node, session, since, until, found"},
    {"session.recording.uploaded", "size_bytes, bytes, sha256, storage"},
    {"session.rejected", "login, while, reason, kind"},
    {"session.start", "login, kind, recorded, chain, client, command, subsystem"},
    {"session.tracing.failed", "login, wish"},
    {"session.tracing.lost", "login, commands, connections"},
    {"sftp.close", "login, path, mode, bytes_read, bytes_written, copied_on_server, left_open, status"},
    {"sftp.link", "login, path, new_path, target, status"},
    {"sftp.mkdir", "login, path, permissions, uid, gid, size, modified, status"},
    {"sftp.open", "login, path, mode, create, truncate, permissions, uid, gid, size, modified, status"},
    {"sftp.remove", "login, path, status"},
    {"sftp.rename", "login, path, new_path, status"},
    {"sftp.rmdir", "login, path, status"},
    {"sftp.setstat", "login, path, permissions, uid, gid, size, modified, status"},
    {"sftp.symlink", "login, path, new_path, target, status"},
    {"sftp.undecoded", "login"},
    {"token.created", "expires_at, join_method, aws_accounts, aws_arns"},
    {"token.deleted", ""},
    {"token.rejected", "token, aws_account, aws_arn"},
    {"token.used", ""},
    {"user.cert.issued", "serial, public_key, logins, expires_at, source_address"},
    {"user.created", "roles"},
    {"user.deleted", ""},
    {"user.locked_out", "method, via"},
    {"user.login", "method, via"},
    {"user.login.failed", "method, via, reason"},
    {"user.logout", ""},
    {"user.password.changed", ""},
    {"user.password.reset", ""},
    {"user.updated", "roles, traits_changed"},
    {"workload.denied", "uid, gid, pid, path, unit"},
    {"workload.svid.issued", "type, serial, kid, audiences, dns_names, registration, expires_at"},
    {"workload.svid.refused", "type, registration"},
    {"workload_identity.created", "registration, selectors, dns_names, audiences, x509_ttl, jwt_ttl"},
    {"workload_identity.deleted", "registration, selectors"},
    {"x11_forward", "login, display"},
});
static_assert(std::ranges::is_sorted(kDetails, {}, &TypeDetails::type));

}  // namespace

const char* details_of(std::string_view type) {
  const auto* found = std::ranges::lower_bound(kDetails, type, {}, &TypeDetails::type);
  return found != kDetails.end() && found->type == type ? found->keys : nullptr;
}

}  // namespace mezite::audit
