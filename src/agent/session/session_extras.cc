#include "agent/session/session_extras.hh"

#include "base/log.hh"

namespace mezite::agent {

void SessionExtras::want_agent(ssh::RequestResponder responder) {
  if (std::exchange(asked_agent_, true)) return responder.reject();
  ++under_way_;
  // Dropped uncalled when the connection ends first; the program is not started then anyway.
  forwards_->share_agent([weak = weak_from_this(), responder = std::move(responder)](Result<std::string> made) mutable {
    auto self = weak.lock();
    if (!self) return;
    if (made) {
      self->agent_socket_ = *made;
      responder.accept();
    } else {
      log::warn("agent forwarding failed", {{"error", made.error()}});
      responder.reject();
    }
    self->settled();
  });
}

void SessionExtras::want_display(const ssh::X11Request& request, ssh::RequestResponder responder) {
  if (std::exchange(asked_display_, true)) return responder.reject();
  ++under_way_;
  forwards_->open_display(request, [weak = weak_from_this(),
                                    responder = std::move(responder)](Result<std::shared_ptr<Display>> made) mutable {
    auto self = weak.lock();
    if (!self) return;
    if (made && !self->closed_) {
      self->display_ = std::move(*made);
      responder.accept();
    } else {
      if (!made) log::warn("X11 forwarding failed", {{"error", made.error()}});
      responder.reject();
    }
    self->settled();
  });
}

void SessionExtras::when_ready(std::move_only_function<void()> ready) {
  ++under_way_;
  ready_ = std::move(ready);
  forwards_->when_settled([weak = weak_from_this()] {
    if (auto self = weak.lock()) self->settled();
  });
}

void SessionExtras::settled() {
  if (--under_way_ > 0 || !ready_) return;
  std::exchange(ready_, nullptr)();
}

void SessionExtras::close() {
  closed_ = true;
  display_.reset();
  ready_ = nullptr;
}

}  // namespace mezite::agent
