// HTTP/1.1 on the wire; Boost.Beast's parser stays behind this header. Internal to net/http.
#pragma once

#include <memory>

#include "base/bytes.hh"
#include "net/http/message.hh"

namespace mezite::net::http {

// One request, fed in pieces.
class RequestParser {
 public:
  RequestParser(std::size_t header_limit_bytes, std::size_t body_limit_bytes);
  ~RequestParser();

  // How many of the bytes were taken; the rest is given again, with more behind it. kResourceExhausted: header or body
  // over its limit; kProtocol: malformed.
  Result<std::size_t> feed(BytesView bytes);
  bool header_done() const;
  bool body_over_limit() const;  // after an error
  bool done() const;
  bool expects_continue() const;
  bool keep_alive() const;
  // After done(). kInvalidArgument for a target or a set of headers that is not served (docs of Request::path).
  Result<Request> take();

 private:
  struct Body;
  std::unique_ptr<Body> body_;
};

// One answer, fed in pieces (for the client).
class ResponseParser {
 public:
  ResponseParser(std::size_t body_limit_bytes, bool head_request);
  ~ResponseParser();
  Result<std::size_t> feed(BytesView bytes);
  Status feed_end();  // the peer closed: the end of an answer without a length
  bool done() const;
  void take(int& status, Headers& headers, std::string& body);

 private:
  struct Body;
  std::unique_ptr<Body> body_;
};

enum class Persistence { kKeepAlive, kClose };
enum class WithBody { kYes, kNo };

// Header names and values with control characters are left out: nothing in them can start a line of its own.
Bytes serialize(const Response& response, Persistence persistence, WithBody with_body);

// "%2e" and "+" stay text: only %XX is decoded. Refuses NUL, control characters, encoded '/', '\', "." and "..".
Result<std::string> decode_path(std::string_view raw);
std::vector<std::pair<std::string, std::string>> decode_query(std::string_view raw);

}  // namespace mezite::net::http
