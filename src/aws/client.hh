// One signed call to a service: time-outs, another try where one makes sense, and how long it all takes.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <stop_token>
#include <string>
#include <string_view>

#include "aws/credentials.hh"
#include "aws/endpoint.hh"

namespace mezite::aws {

// How long calls take, by operation: a histogram each, in Prometheus' text form. Thread-safe.
class CallLatency {
 public:
  static constexpr std::array kBoundsMs{5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10000};

  void record(std::string_view operation, std::chrono::nanoseconds taken, bool succeeded);
  // "mezite_kms_call_seconds_bucket{operation="Sign",le="0.05"} 3" …, and …_errors_total; name: "mezite_kms_call".
  std::string prometheus(std::string_view name) const;

 private:
  struct Histogram {
    std::array<std::uint64_t, kBoundsMs.size() + 1> buckets{};
    std::uint64_t errors = 0;
    std::chrono::nanoseconds sum{};
  };
  mutable std::mutex mutex_;
  std::map<std::string, Histogram, std::less<>> operations_;
};

struct CallOptions {
  std::chrono::milliseconds try_timeout{3000};  // for one try
  std::chrono::milliseconds deadline{10000};    // for all of them with the pauses
  int tries = 4;
  std::chrono::milliseconds first_pause{50};  // at most this long, chosen at random; twice as long each time
  std::chrono::milliseconds longest_pause{2000};
  std::size_t answer_limit_bytes = std::size_t{1} << 20;
};

// Whether a call that may have been carried out, although no answer came, may be made again.
enum class Repeat { kSafe, kUnsafe };

struct ServiceError {
  std::string code;     // "AccessDeniedException"; "" when the answer names none
  std::string message;  // the service's own words, printable and cut
};

// Thread-safe.
class ServiceClient {
 public:
  // read_error: the error in an answer that is no 2xx.
  ServiceClient(Endpoint endpoint, SigningScope scope, std::shared_ptr<CredentialChain> credentials,
                std::function<ServiceError(const net::http::ClientResponse&)> read_error, CallOptions options = {},
                const Clock& clock = system_clock());

  struct Answer {
    net::http::ClientResponse response;
    ServiceError error;  // set when the status is no 2xx
  };
  // Any answer of the service is a success here. request.host is filled in. operation: for metrics and messages.
  Result<Answer> call(std::string_view operation, Request request, std::string_view body, Repeat repeat);

  // From here on no call is tried another time and none pauses, so that the program can stop: each ends with its try
  // that is under way.
  void interrupt() { stopping_.request_stop(); }

  const CallLatency& latency() const { return latency_; }
  const Endpoint& endpoint() const { return endpoint_; }

 private:
  Result<Answer> try_once(const Request& request, std::string_view body, std::chrono::milliseconds timeout);

  const Endpoint endpoint_;
  const SigningScope scope_;
  const std::shared_ptr<CredentialChain> credentials_;
  const std::function<ServiceError(const net::http::ClientResponse&)> read_error_;
  const CallOptions options_;
  const Clock& clock_;
  std::stop_source stopping_;
  CallLatency latency_;
};

}  // namespace mezite::aws
