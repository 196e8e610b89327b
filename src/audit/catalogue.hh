// The catalogue: every type of audit event there is, with its code and what it means. docs/audit-events.md is made from
// this table.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

namespace mezite::audit {

enum class EventKind : std::uint8_t {
  kUserLogin,
  kUserLoginFailed,
  kUserLogout,
  kUserCreated,
  kUserUpdated,
  kUserDeleted,
  kUserPasswordReset,
  kUserPasswordChanged,
  kUserLockedOut,
  kRoleCreated,
  kRoleUpdated,
  kRoleDeleted,
  kTokenCreated,
  kTokenUsed,
  kTokenDeleted,
  kTokenRejected,
  kUserCertIssued,
  kNodeJoined,
  kNodeLeft,
  kNodeRemoved,
  kNodeRenewed,
  kNodeRejected,
  kNodeConnected,
  kSessionStart,
  kSessionEnd,
  kSessionCommand,
  kSessionRejected,
  kPortForward,
  kPortForwardFailed,
  kPortForwardOpened,
  kPortForwardClosed,
  kAgentForward,
  kX11Forward,
  kSessionRecordingUploaded,
  kSessionRecordingFailed,
  kSessionRecordingDeleted,
  kSessionRecordingAccessed,
  kAccessDenied,
  kAccessDeniedSourceAddress,
  kAccessDeniedExpired,
  kAccessDeniedNotYetValid,
  kAccessDeniedForeignCa,
  kAccessDeniedCertificate,
  kAccessDeniedWrongPrincipal,
  kAccessDeniedLogin,
  kAccessDeniedLabels,
  kAccessDeniedLocked,
  kAccessDeniedUnknownNode,
  kAccessDeniedUnreachable,
  kAccessDeniedChannelType,
  kAccessDeniedForwarding,
  kAccessDeniedTicket,
  kAccessDeniedKey,
  kAccessDeniedSessionLimit,
  kAccessDeniedNoAccount,
  kAccessDeniedRecording,
  kAuthzDenied,
  kAdminCall,
  kLockCreated,
  kLockDeleted,
  kCaCreated,
  kCaExported,
  kCaKeysEncrypted,
  kHubStarted,
  kHubStopped,
  kHubReloaded,
  kAuditRolledBack,
};

struct EventInfo {
  EventKind kind;
  std::string_view type;  // "access.denied"; several kinds may share one
  std::string_view code;  // "T4001W": unique. T, class and number, then I(nformation), W(arning) or E(rror)
  std::string_view name;  // a few words
  std::string_view description;
};

inline constexpr std::array kCatalogue = std::to_array<EventInfo>({
    {EventKind::kUserLogin, "user.login", "T1000I", "User login", "A user logged in and was given a session."},
    {EventKind::kUserLoginFailed, "user.login.failed", "T1000W", "Failed login",
     "Somebody failed to log in under this user name; details.reason says why, for administrators only."},
    {EventKind::kUserLogout, "user.logout", "T1001I", "User logout", "A user ended a session."},
    {EventKind::kUserCreated, "user.created", "T1010I", "User created", "A user was created."},
    {EventKind::kUserUpdated, "user.updated", "T1011I", "User updated", "The roles or traits of a user were changed."},
    {EventKind::kUserDeleted, "user.deleted", "T1012I", "User deleted",
     "A user was deleted, with password, sessions and links."},
    {EventKind::kUserPasswordReset, "user.password.reset", "T1013I", "Password reset",
     "An administrator reset a user's password or made a link for it."},
    {EventKind::kUserPasswordChanged, "user.password.changed", "T1014I", "Password set",
     "A user set a password through an invite or reset link."},
    {EventKind::kUserLockedOut, "user.locked_out", "T1015W", "User locked out",
     "Too many wrong passwords in a row: logins of this user are refused for a while."},
    {EventKind::kRoleCreated, "role.created", "T1020I", "Role created", "A role was created."},
    {EventKind::kRoleUpdated, "role.updated", "T1021I", "Role updated", "A role was changed."},
    {EventKind::kRoleDeleted, "role.deleted", "T1022I", "Role deleted", "A role was deleted."},
    {EventKind::kTokenCreated, "token.created", "T1030I", "Join token created", "A one-shot join token was created."},
    {EventKind::kTokenUsed, "token.used", "T1031I", "Join token used",
     "A node joined with the token, which is used up."},
    {EventKind::kTokenDeleted, "token.deleted", "T1032I", "Join token deleted",
     "A join token was deleted before it was used."},
    {EventKind::kTokenRejected, "token.rejected", "T1033W", "Join token rejected",
     "A join was refused: the token is unknown, expired or used."},
    {EventKind::kUserCertIssued, "user.cert.issued", "T1040I", "User certificate issued",
     "The User CA signed a certificate; details hold principals, serial number and validity."},
    {EventKind::kNodeJoined, "node.joined", "T1050I", "Node joined", "A node joined the cluster."},
    {EventKind::kNodeLeft, "node.left", "T1051I", "Node left", "A node's control connection ended."},
    {EventKind::kNodeRemoved, "node.removed", "T1052I", "Node removed",
     "A node was removed from the cluster; its certificates are refused from now on."},
    {EventKind::kNodeRenewed, "node.renewed", "T1053I", "Node certificates renewed",
     "A node was given new certificates."},
    {EventKind::kNodeRejected, "node.rejected", "T1054W", "Node rejected",
     "An agent was refused: its certificate or what it claimed does not fit."},
    {EventKind::kNodeConnected, "node.connected", "T1055I", "Node connected",
     "A node's control connection was opened."},
    {EventKind::kSessionStart, "session.start", "T2000I", "Session started", "A session began on a node."},
    {EventKind::kSessionEnd, "session.end", "T2001I", "Session ended",
     "A session ended; details hold how long it took and how it ended."},
    {EventKind::kSessionCommand, "session.command", "T2002I", "Command run",
     "A command was run without a terminal (exec); details hold the command and its exit code."},
    {EventKind::kSessionRejected, "session.rejected", "T2003W", "Session rejected",
     "A session that was allowed could not be set up."},
    {EventKind::kPortForward, "port_forward", "T2010I", "Port forwarded",
     "A connection was forwarded through a session."},
    {EventKind::kPortForwardFailed, "port_forward", "T2010W", "Port forwarding failed",
     "A connection could not be forwarded or was not allowed to be."},
    {EventKind::kPortForwardOpened, "port_forward", "T2011I", "Remote forwarding opened",
     "The node listens for connections that go to the client; details.listen says where."},
    {EventKind::kPortForwardClosed, "port_forward", "T2012I", "Remote forwarding closed",
     "The node listens no more; details hold how many connections and bytes there were."},
    {EventKind::kAgentForward, "agent_forward", "T2013I", "Agent forwarded",
     "Programs on the node may ask the user's ssh-agent to sign, for as long as the connection lasts."},
    {EventKind::kX11Forward, "x11_forward", "T2014I", "X11 forwarded",
     "Programs on the node may use the user's display; details.display says which one it is there."},
    {EventKind::kSessionRecordingUploaded, "session.recording.uploaded", "T2020I", "Recording uploaded",
     "The hub holds the whole recording, checked against its hash."},
    {EventKind::kSessionRecordingFailed, "session.recording.failed", "T2020E", "Recording failed",
     "A recording is incomplete, or its upload failed and will be tried again."},
    {EventKind::kSessionRecordingDeleted, "session.recording.deleted", "T2021I", "Recording deleted",
     "A recording was deleted."},
    {EventKind::kSessionRecordingAccessed, "session.recording.accessed", "T2022I", "Recording accessed",
     "A recording was played or exported."},
    {EventKind::kAccessDenied, "access.denied", "T4000W", "Access denied",
     "Access was denied for a reason that has no code of its own; details.reason says which."},
    {EventKind::kAccessDeniedSourceAddress, "access.denied", "T4001W", "Denied: source address",
     "The certificate is pinned to another source address."},
    {EventKind::kAccessDeniedExpired, "access.denied", "T4002W", "Denied: certificate expired",
     "The certificate has expired."},
    {EventKind::kAccessDeniedNotYetValid, "access.denied", "T4003W", "Denied: certificate not yet valid",
     "The certificate is not valid yet: a clock is wrong."},
    {EventKind::kAccessDeniedForeignCa, "access.denied", "T4004W", "Denied: foreign CA",
     "The certificate was signed by no CA that is trusted here."},
    {EventKind::kAccessDeniedCertificate, "access.denied", "T4005W", "Denied: certificate",
     "The certificate is of the wrong type, its signature is bad, or it has a critical option that is not known."},
    {EventKind::kAccessDeniedWrongPrincipal, "access.denied", "T4006W", "Denied: principal",
     "The login is not among the principals of the certificate, or the outer user is not its key id."},
    {EventKind::kAccessDeniedLogin, "access.denied", "T4007W", "Denied: login",
     "No role of the user allows this login on this node, or one denies it."},
    {EventKind::kAccessDeniedLabels, "access.denied", "T4008W", "Denied: node",
     "No role of the user allows a node with these labels, or one denies it."},
    {EventKind::kAccessDeniedLocked, "access.denied", "T4009W", "Denied: lock",
     "A lock is in force on the user, role, node or login."},
    {EventKind::kAccessDeniedUnknownNode, "access.denied", "T4010W", "Denied: unknown node", "No node has this name."},
    {EventKind::kAccessDeniedUnreachable, "access.denied", "T4011W", "Denied: node not connected",
     "The node is not connected, or did not dial back."},
    {EventKind::kAccessDeniedChannelType, "access.denied", "T4012W", "Denied: channel type",
     "A channel, request or address was asked for that this listener never gives."},
    {EventKind::kAccessDeniedForwarding, "access.denied", "T4013W", "Denied: forwarding",
     "The roles do not allow this kind of forwarding."},
    {EventKind::kAccessDeniedTicket, "access.denied", "T4014W", "Denied: dial ticket",
     "A dial ticket or dial-back token is unknown, used, expired or came from another address."},
    {EventKind::kAccessDeniedKey, "access.denied", "T4015W", "Denied: no certificate",
     "A plain key or another way to log in was offered where only certificates count."},
    {EventKind::kAccessDeniedSessionLimit, "access.denied", "T4016W", "Denied: session limit",
     "The user has as many sessions as the roles allow."},
    {EventKind::kAccessDeniedNoAccount, "access.denied", "T4017W", "Denied: no account",
     "The node has no account of this login, or it may not log in."},
    {EventKind::kAccessDeniedRecording, "access.denied", "T4018W", "Denied: recording",
     "The roles demand a recording that could not be made."},
    {EventKind::kAuthzDenied, "authz.denied", "T4100W", "API call denied",
     "A call of the admin or web API was denied to who made it."},
    {EventKind::kAdminCall, "admin.call", "T5000I", "Administrative call",
     "A call came through the hub's local socket, or reads what is sensitive."},
    {EventKind::kLockCreated, "lock.created", "T5010I", "Lock created",
     "A lock was put on a user, role, node or login."},
    {EventKind::kLockDeleted, "lock.deleted", "T5011I", "Lock deleted", "A lock was lifted."},
    {EventKind::kCaCreated, "ca.created", "T6000I", "CA created", "A certificate authority was created."},
    {EventKind::kCaExported, "ca.exported", "T6001I", "CA exported",
     "The public part of a certificate authority was exported."},
    {EventKind::kCaKeysEncrypted, "ca.keys.encrypted", "T6002I", "CA keys encrypted",
     "Keys that were stored in clear were encrypted with the passphrase."},
    {EventKind::kHubStarted, "hub.started", "T9000I", "Hub started", "The hub began to serve."},
    {EventKind::kHubStopped, "hub.stopped", "T9001I", "Hub stopped", "The hub was asked to stop and did."},
    {EventKind::kHubReloaded, "hub.reloaded", "T9002I", "Hub reloaded", "The hub read its configuration again."},
    {EventKind::kAuditRolledBack, "audit.rolled_back", "T9010W", "Audit log rolled back",
     "At its start the hub found fewer events than it had written: an older copy of the database was put in place."},
});

static_assert(
    [] {
      for (std::size_t i = 0; i < kCatalogue.size(); ++i) {
        if (static_cast<std::size_t>(kCatalogue[i].kind) != i) return false;
        for (std::size_t j = 0; j < i; ++j) {
          if (kCatalogue[i].code == kCatalogue[j].code) return false;
        }
      }
      return true;
    }(),
    "the rows are in the order of the enumerators, and no code comes twice");

constexpr const EventInfo& info(EventKind kind) { return kCatalogue[static_cast<std::size_t>(kind)]; }

// nullptr when there is no such code.
const EventInfo* find_code(std::string_view code);
bool is_known_type(std::string_view type);

// The whole of docs/audit-events.md.
std::string catalogue_markdown();

}  // namespace mezite::audit
