// A server tells its clients all of its host keys, and proves those that a client did not know
// (hostkeys-00@openssh.com, hostkeys-prove-00@openssh.com; OpenSSH PROTOCOL §2.5): how host keys are changed without a
// warning to anybody. Both sides of the two messages; for the endpoints.
#pragma once

#include <string_view>
#include <vector>

#include "base/bytes.hh"
#include "base/result.hh"
#include "ssh/keys/public_key.hh"
#include "ssh/transport/transport.hh"

namespace mezite::ssh {

inline constexpr std::string_view kHostKeysRequest = "hostkeys-00@openssh.com";
inline constexpr std::string_view kProveHostKeysRequest = "hostkeys-prove-00@openssh.com";
inline constexpr std::size_t kMaxHostKeys = 64;  // in one message

// ---- server

// The payload of hostkeys-00: the plain keys, each once.
Bytes announce_host_keys(const std::vector<HostKey>& host_keys);
// The answer to hostkeys-prove-00: a signature for each key asked for. An error (the request fails, no more): a key
// that is not ours, one that comes twice, too many. agreed: the host key algorithm of the key exchange.
Result<Bytes> prove_host_keys(const std::vector<HostKey>& host_keys, BytesView request, BytesView session_id,
                              std::string_view agreed);

// ---- client

// The keys of hostkeys-00 in their order; what is malformed or of an unknown kind is left out, kMaxHostKeys are looked
// at.
std::vector<PublicKey> parse_host_keys(BytesView announcement);
// The payload of hostkeys-prove-00.
Bytes ask_for_host_keys(const std::vector<PublicKey>& keys);
// Whether the answer holds a good signature of each.
Status check_host_key_proofs(const std::vector<PublicKey>& keys, BytesView reply, BytesView session_id);

}  // namespace mezite::ssh
