#include "aws/client.hh"

#include <fmt/format.h>

#include <algorithm>
#include <condition_variable>

#include "base/log.hh"
#include "crypto/random.hh"

namespace mezite::aws {
namespace {

using std::chrono::milliseconds;
using SteadyClock = std::chrono::steady_clock;

// The service took nothing of the call and says so: always worth another try.
bool is_throttled(const ServiceClient::Answer& answer) {
  constexpr std::array kCodes{std::string_view("ThrottlingException"),
                              std::string_view("Throttling"),
                              std::string_view("TooManyRequestsException"),
                              std::string_view("RequestLimitExceeded"),
                              std::string_view("SlowDown"),
                              std::string_view("ProvisionedThroughputExceededException")};
  return answer.response.status == 429 || std::ranges::find(kCodes, answer.error.code) != kCodes.end();
}

bool are_credentials_stale(const ServiceClient::Answer& answer) {
  constexpr std::array kCodes{std::string_view("ExpiredTokenException"), std::string_view("ExpiredToken"),
                              std::string_view("UnrecognizedClientException"),
                              std::string_view("InvalidClientTokenId")};
  return std::ranges::find(kCodes, answer.error.code) != kCodes.end();
}

// "Full jitter": clients that failed together must not come back together.
milliseconds pause_before(int next_try, const CallOptions& options) {
  const auto most = std::min(options.longest_pause, options.first_pause * (1 << std::min(next_try - 1, 16)));
  return milliseconds(crypto::random_u64() % static_cast<std::uint64_t>(most.count() + 1));
}

// False when it was cut short, or would have been.
bool wait(milliseconds pause, const std::stop_token& stop) {
  std::mutex mutex;
  std::unique_lock lock(mutex);
  std::condition_variable_any nobody;
  nobody.wait_for(lock, stop, pause, [] { return false; });
  return !stop.stop_requested();
}

}  // namespace

void CallLatency::record(std::string_view operation, std::chrono::nanoseconds taken, bool succeeded) {
  const auto taken_ms = std::chrono::duration<double, std::milli>(taken).count();
  const auto bucket = std::ranges::find_if(kBoundsMs, [&](int bound) { return taken_ms <= bound; });
  const std::lock_guard lock(mutex_);
  auto at = operations_.find(operation);
  if (at == operations_.end()) at = operations_.emplace(std::string(operation), Histogram()).first;
  ++at->second.buckets[static_cast<std::size_t>(bucket - kBoundsMs.begin())];
  at->second.sum += taken;
  if (!succeeded) ++at->second.errors;
}

std::string CallLatency::prometheus(std::string_view name) const {
  const std::lock_guard lock(mutex_);
  std::string out = fmt::format("# TYPE {0}_seconds histogram\n", name);
  for (const auto& [operation, histogram] : operations_) {
    std::uint64_t count = 0;
    for (std::size_t i = 0; i < histogram.buckets.size(); ++i) {
      count += histogram.buckets[i];
      const std::string bound = i < kBoundsMs.size() ? fmt::format("{}", kBoundsMs[i] / 1000.0) : "+Inf";
      out += fmt::format("{}_seconds_bucket{{operation=\"{}\",le=\"{}\"}} {}\n", name, operation, bound, count);
    }
    out += fmt::format("{}_seconds_sum{{operation=\"{}\"}} {}\n", name, operation,
                       std::chrono::duration<double>(histogram.sum).count());
    out += fmt::format("{}_seconds_count{{operation=\"{}\"}} {}\n", name, operation, count);
  }
  out += fmt::format("# TYPE {0}_errors_total counter\n", name);
  for (const auto& [operation, histogram] : operations_) {
    out += fmt::format("{}_errors_total{{operation=\"{}\"}} {}\n", name, operation, histogram.errors);
  }
  return out;
}

ServiceClient::ServiceClient(Endpoint endpoint, SigningScope scope, std::shared_ptr<CredentialChain> credentials,
                             std::function<ServiceError(const net::http::ClientResponse&)> read_error,
                             CallOptions options, const Clock& clock)
    : endpoint_(std::move(endpoint)),
      scope_(std::move(scope)),
      credentials_(std::move(credentials)),
      read_error_(std::move(read_error)),
      options_(options),
      clock_(clock) {}

Result<ServiceClient::Answer> ServiceClient::try_once(const Request& request, std::string_view body,
                                                      milliseconds timeout) {
  MEZ_TRY(const Credentials credentials, credentials_->get());
  MEZ_TRY(Signed ready, sign(request, payload_hash(as_bytes(body)), credentials, scope_, clock_.now()));
  net::http::ClientRequest wire;
  wire.scheme = endpoint_.scheme;
  wire.peer = net::http::PeerKind::kOther;
  wire.method = request.method;
  wire.host = endpoint_.host;
  wire.port = endpoint_.port;
  wire.target = std::move(ready.target);
  wire.headers = std::move(ready.headers);
  wire.body = std::string(body);
  wire.timeout = timeout;
  wire.answer_limit_bytes = options_.answer_limit_bytes;
  MEZ_TRY(auto response, net::http::request(wire));
  Answer answer{std::move(response), {}};
  if (answer.response.status / 100 != 2) answer.error = read_error_(answer.response);
  return answer;
}

Result<ServiceClient::Answer> ServiceClient::call(std::string_view operation, Request request, std::string_view body,
                                                  Repeat repeat) {
  request.host = endpoint_.host_header;
  const auto started = SteadyClock::now();
  const auto deadline = started + options_.deadline;
  bool renewed = false;
  for (int number = 1;; ++number) {
    const auto try_started = SteadyClock::now();
    const auto left = std::chrono::duration_cast<milliseconds>(deadline - try_started);
    auto answer = try_once(request, body, std::min(options_.try_timeout, left));
    const bool succeeded = answer && answer->response.status / 100 == 2;
    latency_.record(operation, SteadyClock::now() - try_started, succeeded);
    if (succeeded) return answer;
    bool again = false;
    if (!answer) {
      const ErrorCode code = answer.error().code;
      again = repeat == Repeat::kSafe && (code == ErrorCode::kUnavailable || code == ErrorCode::kTimeout ||
                                          code == ErrorCode::kProtocol || code == ErrorCode::kIo);
    } else if (are_credentials_stale(*answer)) {
      credentials_->forget();  // they may have been replaced where they came from
      again = !renewed;
      renewed = true;
    } else {
      again = is_throttled(*answer) || (answer->response.status >= 500 && repeat == Repeat::kSafe);
    }
    const auto pause = pause_before(number, options_);
    if (!again || number >= options_.tries || SteadyClock::now() + pause >= deadline) return answer;
    log::debug(
        "an AWS call is tried again",
        {{"operation", operation}, {"try", number}, {"why", answer ? answer->error.code : answer.error().message}});
    if (!wait(pause, stopping_.get_token())) return answer;
  }
}

}  // namespace mezite::aws
