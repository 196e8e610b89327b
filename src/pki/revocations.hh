// User certificates that are good no more, although their time has not come.
#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "base/clock.hh"
#include "ssh/keys/certificate.hh"
#include "ssh/keys/krl.hh"
#include "store/database.hh"

namespace mezite::pki {

struct Revocation {
  std::string id;     // UUID
  std::string kind;   // "serial", "key_id"
  std::string value;  // the serial number in decimal, or the key id
  std::string user;   // whose certificate it was; "" when that is not known
  std::string reason;
  std::string created_by;
  SystemTime created_at{};
  std::optional<SystemTime>
      expires_at;  // when the certificate has ended by itself, and the entry is of no use; none: never
};

// Thread-safe. What is_revoked() asks is in memory.
class Revocations {
 public:
  static Result<std::unique_ptr<Revocations>> open(store::Database& database, const Clock& clock);

  // In one transaction, with a new revision; what is revoked already stays as it is and is not given back. id and
  // created_at are filled in. kInvalidArgument for a serial that is none, or a key id that is empty or not printable.
  Result<std::vector<Revocation>> add(std::vector<Revocation> revocations);
  Result<std::vector<Revocation>> list() const;  // those that still count, oldest first
  // Gives what it was. kNotFound.
  Result<Revocation> remove(std::string_view id);

  // What agents and sshd are to refuse.
  ssh::RevokedCertificates current() const;
  bool is_revoked(const ssh::Certificate& certificate) const;

 private:
  Revocations(store::Database& database, const Clock& clock) : database_(database), clock_(clock) {}
  Status load();

  struct Set {
    std::unordered_set<std::uint64_t> serials;
    std::unordered_set<std::string> key_ids;
  };
  store::Database& database_;
  const Clock& clock_;
  mutable std::mutex mutex_;
  std::shared_ptr<const Set> set_ = std::make_shared<const Set>();
};

}  // namespace mezite::pki
