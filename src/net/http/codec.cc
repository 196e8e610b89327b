#include "net/http/codec.hh"

#include <boost/asio/buffer.hpp>
#include <boost/beast/http/empty_body.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>
#include <ctime>

#include "base/text.hh"

namespace mezite::net::http {
namespace {

namespace beast = boost::beast;

ErrorCode code_of(const beast::error_code& error) {
  bool too_big = error == beast::http::error::header_limit || error == beast::http::error::body_limit ||
                 error == beast::http::error::buffer_overflow;
  return too_big ? ErrorCode::kResourceExhausted : ErrorCode::kProtocol;
}

template <class Parser>
Result<std::size_t> put(Parser& parser, BytesView bytes, bool* body_over_limit = nullptr) {
  std::size_t taken = 0;
  while (taken < bytes.size() && !parser.is_done()) {
    beast::error_code error;
    std::size_t n = parser.put(boost::asio::const_buffer(bytes.data() + taken, bytes.size() - taken), error);
    taken += n;
    if (error == beast::http::error::need_more) return taken;
    if (error == beast::http::error::body_limit) {
      if (body_over_limit != nullptr) *body_over_limit = true;
      return fail(ErrorCode::kResourceExhausted, "the body is too large");
    }
    if (error) return fail(code_of(error), "{}", error.message());
    if (n == 0) return taken;
  }
  return taken;
}

template <class Message>
Headers headers_of(const Message& message) {
  Headers headers;
  for (const auto& field : message) {
    headers.add(std::string(field.name_string()), std::string(field.value()));
  }
  return headers;
}

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

// Nothing for a broken escape.
Result<std::string> unescape(std::string_view raw, bool plus_is_space) {
  std::string out;
  out.reserve(raw.size());
  for (std::size_t i = 0; i < raw.size(); ++i) {
    if (raw[i] == '%') {
      if (i + 2 >= raw.size() || hex_digit(raw[i + 1]) < 0 || hex_digit(raw[i + 2]) < 0) {
        return fail(ErrorCode::kInvalidArgument, "a broken percent escape");
      }
      out.push_back(static_cast<char>(hex_digit(raw[i + 1]) * 16 + hex_digit(raw[i + 2])));
      i += 2;
    } else {
      out.push_back(plus_is_space && raw[i] == '+' ? ' ' : raw[i]);
    }
  }
  return out;
}

bool is_header_text(std::string_view text) {
  for (char c : text) {
    auto byte = static_cast<unsigned char>(c);
    if ((byte < 0x20 && byte != '\t') || byte == 0x7f) return false;
  }
  return true;
}

std::string http_date() {
  std::time_t now = std::time(nullptr);
  std::tm parts{};
  ::gmtime_r(&now, &parts);
  char text[64];
  std::size_t size = std::strftime(text, sizeof text, "%a, %d %b %Y %H:%M:%S GMT", &parts);
  return {text, size};
}

std::string_view reason(int status) {
  auto text = beast::http::obsolete_reason(static_cast<beast::http::status>(status));
  return {text.data(), text.size()};
}

}  // namespace

struct RequestParser::Body {
  bool body_over_limit = false;
  beast::http::request_parser<beast::http::string_body> parser;
};

RequestParser::RequestParser(std::size_t header_limit_bytes, std::size_t body_limit_bytes)
    : body_(std::make_unique<Body>()) {
  body_->parser.header_limit(static_cast<std::uint32_t>(header_limit_bytes));
  body_->parser.body_limit(body_limit_bytes);
  body_->parser.eager(true);
}
RequestParser::~RequestParser() = default;

Result<std::size_t> RequestParser::feed(BytesView bytes) {
  try {
    return put(body_->parser, bytes, &body_->body_over_limit);
  } catch (const std::exception&) {
    return fail(ErrorCode::kProtocol, "a malformed request");
  }
}
bool RequestParser::header_done() const { return body_->parser.is_header_done(); }
bool RequestParser::body_over_limit() const { return body_->body_over_limit; }
bool RequestParser::done() const { return body_->parser.is_done(); }
bool RequestParser::keep_alive() const { return body_->parser.is_header_done() && body_->parser.keep_alive(); }
bool RequestParser::expects_continue() const {
  return beast::iequals(body_->parser.get()[beast::http::field::expect], "100-continue");
}

Result<Request> RequestParser::take() {
  auto message = body_->parser.release();
  Request request;
  request.method = std::string(message.method_string());
  request.headers = headers_of(message);
  request.body = std::move(message.body());
  // RFC 9112 §3.2: one Host, or the request says two things about where it goes.
  if (message.version() >= 11 && request.headers.count("Host") != 1) {
    return fail(ErrorCode::kInvalidArgument, "a request has exactly one Host header");
  }
  if (request.headers.has("Content-Length") && request.headers.has("Transfer-Encoding")) {
    return fail(ErrorCode::kInvalidArgument, "a request has one length");
  }
  std::string_view target(message.target().data(), message.target().size());
  std::size_t mark = target.find('?');
  MEZ_TRY(request.path, decode_path(target.substr(0, mark)));
  if (mark != std::string_view::npos) request.query = decode_query(target.substr(mark + 1));
  return request;
}

struct ResponseParser::Body {
  beast::http::response_parser<beast::http::string_body> parser;
};

ResponseParser::ResponseParser(std::size_t body_limit_bytes, bool head_request) : body_(std::make_unique<Body>()) {
  body_->parser.header_limit(64 << 10);
  body_->parser.body_limit(body_limit_bytes);
  body_->parser.eager(true);
  body_->parser.skip(head_request);
}
ResponseParser::~ResponseParser() = default;

Result<std::size_t> ResponseParser::feed(BytesView bytes) {
  try {
    return put(body_->parser, bytes);
  } catch (const std::exception&) {
    return fail(ErrorCode::kProtocol, "a malformed answer");
  }
}
Status ResponseParser::feed_end() {
  // Beast takes an end before the first byte for an empty answer with status 200.
  if (!body_->parser.is_header_done()) {
    return fail(ErrorCode::kUnavailable, "the connection was closed without an answer");
  }
  beast::error_code error;
  body_->parser.put_eof(error);
  if (error || !body_->parser.is_done()) return fail(ErrorCode::kProtocol, "the answer was cut off");
  return {};
}
bool ResponseParser::done() const { return body_->parser.is_done(); }
void ResponseParser::take(int& status, Headers& headers, std::string& body) {
  auto message = body_->parser.release();
  status = static_cast<int>(message.result_int());
  headers = headers_of(message);
  body = std::move(message.body());
}

Bytes serialize(const Response& response, Persistence persistence, WithBody with_body) {
  std::string head = fmt::format("HTTP/1.1 {} {}\r\n", response.status, reason(response.status));
  for (const auto& [name, value] : response.headers.all()) {
    if (name.empty() || !is_header_text(name) || !is_header_text(value) ||
        name.find_first_of(": \t") != std::string::npos)
      continue;
    head += fmt::format("{}: {}\r\n", name, value);
  }
  bool has_no_content = response.status == 204 || response.status == 304 || response.status < 200;
  if (!has_no_content) head += fmt::format("Content-Length: {}\r\n", response.body.size());
  head += fmt::format("Date: {}\r\n", http_date());
  if (persistence == Persistence::kClose) head += "Connection: close\r\n";
  head += "\r\n";
  Bytes out = to_bytes(head);
  if (with_body == WithBody::kYes && !has_no_content) out.insert(out.end(), response.body.begin(), response.body.end());
  return out;
}

Result<std::string> decode_path(std::string_view raw) {
  if (!raw.starts_with('/')) return fail(ErrorCode::kInvalidArgument, "the target is a path");
  for (std::string_view part : split(raw.substr(1), '/')) {
    MEZ_TRY(auto segment, unescape(part, false));
    if (segment == "." || segment == ".." || segment.find_first_of("/\\\t") != std::string::npos ||
        !is_header_text(segment)) {
      return fail(ErrorCode::kInvalidArgument, "the path is not in its plain form");
    }
  }
  return unescape(raw, false);
}

std::vector<std::pair<std::string, std::string>> decode_query(std::string_view raw) {
  std::vector<std::pair<std::string, std::string>> out;
  for (std::string_view piece : split(raw, '&')) {
    if (piece.empty() || out.size() >= 100) continue;
    std::size_t equals = piece.find('=');
    auto name = unescape(piece.substr(0, equals), true);
    auto value = unescape(equals == std::string_view::npos ? std::string_view() : piece.substr(equals + 1), true);
    if (name && value) out.emplace_back(std::move(*name), std::move(*value));
  }
  return out;
}

}  // namespace mezite::net::http
