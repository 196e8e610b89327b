// Events by HTTPS POST. Inside src/audit/sink/ only.
#pragma once

#include <filesystem>
#include <memory>

#include "audit/sink/tls_connection.hh"
#include "base/secret.hh"

namespace mezite::audit {

struct WebhookOptions {
  std::string cluster_name;
  std::string url;
  Secret secret;
  std::filesystem::path ca_file;
  bool allow_private = false;
};

// A batch is one POST of {"cluster_name":…,"events":[…]}; any 2xx is a receipt for all of it. A redirect is an error:
// it may lead inside the network.
class WebhookSink final : public Sink {
 public:
  static Result<std::unique_ptr<Sink>> make(WebhookOptions options, const Clock& clock);
  const char* name() const override { return "webhook"; }
  std::string target() const override { return target_.text(); }
  Status deliver(std::span<const StoredEvent> events, const StopFlag& stop) override;

 private:
  WebhookSink(WebhookOptions options, const Clock& clock) : options_(std::move(options)), clock_(clock) {}
  WebhookOptions options_;
  const Clock& clock_;
  net::HostPort target_;
  std::string host_header_, path_;
  std::shared_ptr<crypto::TlsContext> context_;
};

// "https://host[:port][/path][?query]".
struct WebhookUrl {
  net::HostPort target;
  std::string host_header;
  std::string path;
};
Result<WebhookUrl> parse_webhook_url(std::string_view url);

// "t=<unix seconds>,v1=<hex>": HMAC-SHA-256 over "<unix seconds>.<body>".
std::string webhook_signature(const Secret& secret, std::int64_t unix_seconds, std::string_view body);

// The status of an HTTP/1.x answer whose head is whole; 0 when it is none.
int status_of_answer(std::string_view answer);

}  // namespace mezite::audit
