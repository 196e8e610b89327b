// Where credentials come from: environment, shared credentials file, instance metadata version 2; in this order.
#pragma once

#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>

#include "aws/sigv4.hh"

namespace mezite::aws {

// Looks a variable of the environment up; nullopt when it is not set.
using Environment = std::function<std::optional<std::string>(std::string_view name)>;
Environment process_environment();

// AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN. kNotFound when there are none; half of them is
// kInvalidArgument, because somebody meant them.
Result<Credentials> credentials_of_environment(const Environment& environment);

// AWS_SHARED_CREDENTIALS_FILE or ~/.aws/credentials, profile AWS_PROFILE or "default". kNotFound without the file or,
// when no profile was asked for, without the profile.
Result<Credentials> credentials_of_file(const Environment& environment);
// The text of such a file.
Result<Credentials> parse_credentials_file(std::string_view text, std::string_view profile);

// The role of this instance, with a session token of the metadata service (IMDSv2; version 1 is never used).
// AWS_EC2_METADATA_SERVICE_ENDPOINT names another service, AWS_EC2_METADATA_DISABLED=true switches it off (kNotFound).
Result<Credentials> credentials_of_instance(const Environment& environment);

// The chain, remembered and renewed. Thread-safe; get() blocks for as long as the metadata service takes, but not while
// what it has is still good and another thread is renewing it.
class CredentialChain {
 public:
  explicit CredentialChain(Environment environment = process_environment(), const Clock& clock = system_clock());

  // kUnauthenticated, naming every place that was looked at, when none has any.
  Result<Credentials> get();
  // What get() gave was refused: the next one looks again.
  void forget();

  // Renewed this long before they end; a failure is tried again after kRetryAfter while they last.
  static constexpr std::chrono::minutes kRenewBefore{5};
  static constexpr std::chrono::seconds kRetryAfter{20};

 private:
  Result<Credentials> look() const;

  const Environment environment_;
  const Clock& clock_;
  std::mutex looking_;  // taken before mutex_
  std::mutex mutex_;
  std::optional<Credentials> current_;
  SystemTime renew_at_{};
};

}  // namespace mezite::aws
