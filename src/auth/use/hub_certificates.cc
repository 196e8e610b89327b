#include "auth/use/hub_certificates.hh"

#include "base/log.hh"

namespace mezite::auth {

struct HubCertificates::State {
  State(Issue issue_in, Background background_in, std::function<std::int64_t()> revision_in, const Clock& clock_in)
      : issue(std::move(issue_in)),
        background(std::move(background_in)),
        revision(std::move(revision_in)),
        clock(clock_in) {}

  const Issue issue;
  const Background background;
  const std::function<std::int64_t()> revision;
  const Clock& clock;

  std::mutex issuing;  // held while one is waited for
  std::mutex mutex;    // of what follows
  std::shared_ptr<const HubCertificate> current;
  bool renewing = false;
  SystemTime not_before{};  // no renewal in the background until then

  bool is_usable(const HubCertificate& one) const { return one.revision == revision() && clock.now() < one.expires_at; }

  void renew() {
    Result<HubCertificate> fresh = issue();
    const std::lock_guard lock(mutex);
    renewing = false;
    if (!fresh) {
      not_before = clock.now() + kPauseAfterFailure;
      log::error("the hub's certificate could not be renewed; the old one is shown on, and it is tried again",
                 {{"error", fresh.error()}});
    } else if (is_usable(*fresh)) {  // else a key of the Host CA has changed meanwhile
      current = std::make_shared<const HubCertificate>(std::move(*fresh));
    }
  }
};

HubCertificates::HubCertificates(Issue issue, Background background, std::function<std::int64_t()> revision,
                                 const Clock& clock)
    : state_(std::make_shared<State>(std::move(issue), std::move(background), std::move(revision), clock)) {}

HubCertificates::HubCertificates(Services& services)
    : HubCertificates([&services] { return issue_hub_certificate(services); },
                      [&services](auto task) { return services.workers.submit(std::move(task)); },
                      [&services] { return services.authority->trust_bundle().revision; }, services.clock) {}

Result<std::shared_ptr<const HubCertificate>> HubCertificates::get() {
  auto usable = [this]() -> std::shared_ptr<const HubCertificate> {
    std::unique_lock lock(state_->mutex);
    if (!state_->current || !state_->is_usable(*state_->current)) return nullptr;
    auto found = state_->current;
    const SystemTime now = state_->clock.now();
    if (now < found->renew_at || now < state_->not_before || std::exchange(state_->renewing, true)) return found;
    lock.unlock();
    if (!state_->background([state = state_] { state->renew(); })) {
      lock.lock();
      state_->renewing = false;
    }
    return found;
  };
  if (auto found = usable()) return found;
  const std::lock_guard one_at_a_time(state_->issuing);
  if (auto found = usable()) return found;
  MEZ_TRY(HubCertificate fresh, state_->issue());
  const std::lock_guard lock(state_->mutex);
  state_->current = std::make_shared<const HubCertificate>(std::move(fresh));
  return state_->current;
}

}  // namespace mezite::auth
