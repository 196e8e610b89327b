#include "ssh/connection/window.hh"

#include <algorithm>

namespace mezite::ssh {

std::size_t WindowBudget::take(std::size_t bytes) {
  std::size_t used = used_.load(std::memory_order_relaxed);
  while (true) {
    const std::size_t taken = std::min(bytes, limit_bytes_ - std::min(limit_bytes_, used));
    if (taken == 0 || used_.compare_exchange_weak(used, used + taken, std::memory_order_relaxed)) return taken;
  }
}

WindowBudget& WindowBudget::of_process() {
  static WindowBudget budget(std::size_t{512} << 20);
  return budget;
}

std::uint64_t WindowMeter::on_grant(SteadyTime now, std::uint64_t received, std::uint64_t limit) {
  if (!started_) {
    started_ = true;
    mark_ = limit;
    mark_time_ = counting_since_ = now;
    counted_from_ = received;
    return 0;
  }
  if (received > mark_) {
    // One tick at least: a clock that stands still must not divide by zero.
    round_trip_ = std::min(round_trip_, std::max(now - mark_time_, SteadyTime::duration(1)));
    mark_ = limit;
    mark_time_ = now;
  }
  const std::chrono::nanoseconds interval = now - counting_since_;
  if (interval < round_trip_) return 0;
  const double round_trips = static_cast<double>(interval.count()) / static_cast<double>(round_trip_.count());
  const auto in_one = static_cast<std::uint64_t>(static_cast<double>(received - counted_from_) / round_trips);
  counted_from_ = received;
  counting_since_ = now;
  last_interval_ = interval;
  return std::max<std::uint64_t>(2 * in_one, 1);
}

}  // namespace mezite::ssh
