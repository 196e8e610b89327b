#include "audit/sink/webhook_sink.hh"

#include <fmt/format.h>

#include "base/text.hh"
#include "crypto/hash.hh"

namespace mezite::audit {

namespace {

constexpr std::chrono::seconds kLimit{30};
constexpr std::size_t kMaxAnswerBytes = 64 << 10;

}  // namespace

Result<WebhookUrl> parse_webhook_url(std::string_view url) {
  constexpr std::string_view kScheme = "https://";
  if (!url.starts_with(kScheme)) return fail(ErrorCode::kInvalidArgument, "the webhook's URL is not https://");
  url.remove_prefix(kScheme.size());
  std::size_t end = url.find_first_of("/?#");
  std::string_view authority = url.substr(0, end);
  std::string_view rest = end == std::string_view::npos ? std::string_view() : url.substr(end);
  rest = rest.substr(0, rest.find('#'));
  if (authority.empty() || authority.find('@') != std::string_view::npos) {
    return fail(ErrorCode::kInvalidArgument, "the webhook's URL has no plain host");
  }
  WebhookUrl out;
  MEZ_TRY(out.target, net::parse_host_port(authority, 443));
  if (out.target.host.empty()) return fail(ErrorCode::kInvalidArgument, "the webhook's URL has no host");
  out.host_header = std::string(authority);
  out.path = rest.starts_with('/') ? std::string(rest) : "/" + std::string(rest);
  return out;
}

std::string webhook_signature(const Secret& secret, std::int64_t unix_seconds, std::string_view body) {
  crypto::Hmac hmac(crypto::HashAlgorithm::kSha256, secret.view());
  hmac.update(as_bytes(std::to_string(unix_seconds))).update(as_bytes(".")).update(as_bytes(body));
  return fmt::format("t={},v1={}", unix_seconds, to_hex(hmac.finish()));
}

int status_of_answer(std::string_view answer) {
  // "HTTP/1.1 204 No Content"
  if (!answer.starts_with("HTTP/1.") || answer.size() < 12 || answer[8] != ' ') return 0;
  int status = 0;
  for (char c : answer.substr(9, 3)) {
    if (c < '0' || c > '9') return 0;
    status = 10 * status + (c - '0');
  }
  return status;
}

Result<std::unique_ptr<Sink>> WebhookSink::make(WebhookOptions options, const Clock& clock) {
  std::unique_ptr<WebhookSink> sink(new WebhookSink(std::move(options), clock));
  auto url = parse_webhook_url(sink->options_.url);
  if (!url) return wrap(url.error(), "audit.sink.webhook_url");
  sink->target_ = url->target;
  sink->host_header_ = url->host_header;
  sink->path_ = url->path;
  auto context = sink_tls_context(sink->options_.ca_file);
  if (!context) return wrap(context.error(), "audit.sink.webhook_ca_file");
  sink->context_ = std::move(*context);
  return std::unique_ptr<Sink>(std::move(sink));
}

Status WebhookSink::deliver(std::span<const StoredEvent> events, const StopFlag& stop) {
  std::string body = "{\"cluster_name\":" + json_quote(options_.cluster_name) + ",\"events\":[";
  for (std::size_t i = 0; i < events.size(); ++i) body += (i == 0 ? "" : ",") + sink_json(events[i]);
  body += "]}";
  std::string head = fmt::format(
      "POST {} HTTP/1.1\r\nHost: {}\r\nUser-Agent: mezite\r\nContent-Type: application/json\r\nContent-Length: {}\r\n"
      "X-Mezite-Delivery: {}-{}\r\nConnection: close\r\n",
      path_, host_header_, body.size(), events.front().sequence, events.back().sequence);
  if (!options_.secret.empty()) {
    head += fmt::format("X-Mezite-Signature: {}\r\n",
                        webhook_signature(options_.secret, to_unix_seconds(clock_.now()), body));
  }
  head += "\r\n";
  Reach reach = options_.allow_private ? Reach::kAnywhere : Reach::kPublicOnly;
  MEZ_TRY(TlsConnection connection,
          TlsConnection::connect(target_, context_, reach, system_clock().steady() + kLimit, stop));
  // A server may answer (413) and end before it has read everything: its answer counts.
  Status sent = connection.send(head);
  if (sent) sent = connection.send(body);
  std::string answer;
  while (answer.find("\r\n\r\n") == std::string::npos && answer.size() < kMaxAnswerBytes) {
    auto got = connection.receive(answer);
    if (!got && status_of_answer(answer) == 0) return sent ? Status(std::unexpected(got.error())) : sent;
    if (!got || *got == 0) break;
  }
  int status = status_of_answer(answer);
  if (status >= 200 && status <= 299) return {};
  if (status >= 300 && status <= 399) {
    return fail(ErrorCode::kFailedPrecondition,
                "{} answered {}: redirects are not followed; set audit.sink.webhook_url to where it leads",
                target_.text(), status);
  }
  if (status == 413) return fail(ErrorCode::kResourceExhausted, "{} answered 413", target_.text());
  if (status == 0) return fail(ErrorCode::kProtocol, "{} gave no HTTP answer", target_.text());
  return fail(ErrorCode::kUnavailable, "{} answered {}", target_.text(), status);
}

}  // namespace mezite::audit
