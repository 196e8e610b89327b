// The certificate that the hub shows now, renewed when it is due.
#pragma once

#include <functional>
#include <memory>
#include <mutex>

#include "auth/use/hub_certificate.hh"

namespace mezite::auth {

// Thread-safe. A new key of the Host CA (the revision has changed) is waited for: a certificate of the old one would be
// believed by nobody who is up to date. One that is only due, which is half of its life before its end, is renewed in
// the background, and the old one is shown until the new one is there: a KMS that is slow or away slows nobody.
class HubCertificates {
 public:
  using Issue = std::function<Result<HubCertificate>()>;
  // Runs the task elsewhere, later; false: not now.
  using Background = std::function<bool(std::move_only_function<void()>)>;

  // `revision`: of the trust bundle.
  HubCertificates(Issue issue, Background background, std::function<std::int64_t()> revision, const Clock& clock);
  // Issued by the services, renewed by their workers; they outlive it.
  explicit HubCertificates(Services& services);

  // Blocks for the first one, for one of a new revision, and for one in the place of one that has ended.
  Result<std::shared_ptr<const HubCertificate>> get();

  static constexpr std::chrono::seconds kPauseAfterFailure{30};

 private:
  struct State;
  std::shared_ptr<State> state_;  // also held by a renewal under way
};

}  // namespace mezite::auth
