// OpenSSH's key revocation lists (PROTOCOL.krl), as far as they name certificates: for sshd's RevokedKeys.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.hh"
#include "base/clock.hh"

namespace mezite::ssh {

struct RevokedCertificates {
  std::vector<std::uint64_t> serials;  // 0 means "no serial" to OpenSSH and is left out
  std::vector<std::string> key_ids;
};

// Certificates of any CA with one of these. version: sshd takes no notice of it; it is for people who compare lists.
Bytes write_krl(const RevokedCertificates& revoked, std::uint64_t version, SystemTime generated_at,
                std::string_view comment);

}  // namespace mezite::ssh
