// Values under random names that work once and for a short time: dial tickets, dial-back tokens.
#pragma once

#include <chrono>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

#include "base/bytes.hh"
#include "base/clock.hh"
#include "base/result.hh"
#include "crypto/hash.hh"
#include "crypto/random.hh"

namespace mezite::proxy {

// Any thread. Names are kept as their SHA-256, so that a look-up takes no time that tells of a name. Bounded.
template <class T>
class OneTimeBook {
 public:
  OneTimeBook(std::chrono::milliseconds life, std::size_t limit, const Clock& clock)
      : life_(life), limit_(limit), clock_(clock) {}

  // A new name: 43 characters, base64url of 32 random bytes. kResourceExhausted at the limit.
  Result<std::string> put(T value) {
    SteadyTime now = clock_.steady();
    std::string name = crypto::random_token();
    std::lock_guard lock(mutex_);
    drop_expired(now);
    if (entries_.size() >= limit_) {
      return fail(ErrorCode::kResourceExhausted, "too many connections are being set up; try again in a moment");
    }
    std::string key = key_of(name);
    order_.emplace(now + life_, key);
    entries_.emplace(std::move(key), Entry{now + life_, std::move(value)});
    return name;
  }

  // The value, once; nothing for a name that is unknown, used or over.
  std::optional<T> take(std::string_view name) {
    std::lock_guard lock(mutex_);
    drop_expired(clock_.steady());
    auto found = entries_.find(key_of(name));
    if (found == entries_.end()) return std::nullopt;
    std::optional<T> value(std::move(found->second.value));
    entries_.erase(found);  // its place in order_ goes when its time comes
    return value;
  }

  std::size_t size() const {
    std::lock_guard lock(mutex_);
    return entries_.size();
  }

 private:
  struct Entry {
    SteadyTime until;
    T value;
  };

  static std::string key_of(std::string_view name) {
    auto digest = crypto::sha256(as_bytes(name));
    return to_text(digest);
  }

  void drop_expired(SteadyTime now) {
    while (!order_.empty() && order_.begin()->first <= now) {
      entries_.erase(order_.begin()->second);
      order_.erase(order_.begin());
    }
  }

  const std::chrono::milliseconds life_;
  const std::size_t limit_;
  const Clock& clock_;
  mutable std::mutex mutex_;
  std::unordered_map<std::string, Entry> entries_;
  std::multimap<SteadyTime, std::string> order_;
};

}  // namespace mezite::proxy
