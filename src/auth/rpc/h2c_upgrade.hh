// A connection of HTTP/1.1 that asks for HTTP/2 in clear ("Upgrade: h2c", RFC 7540 §3.2), for a server that knows
// HTTP/2 only. Sans-I/O: bytes in, bytes out.
#pragma once

#include <memory>

#include "base/bytes.hh"
#include "base/result.hh"

namespace mezite::auth::rpc {

// What a client of HTTP/2 says first.
inline constexpr std::string_view kHttp2Preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

// The request that asks for it, and then the client's preface and SETTINGS.
class H2cUpgrade {
 public:
  H2cUpgrade();
  ~H2cUpgrade();
  H2cUpgrade(const H2cUpgrade&) = delete;
  H2cUpgrade& operator=(const H2cUpgrade&) = delete;

  enum class Wants { kMore, kReply, kNothing };
  // Takes what the client sends. kReply: reply() is to be sent, then more fed; kNothing: it is done, and hand_over()
  // has what the server is to read. An error: answer with refusal() and close.
  Result<Wants> feed(BytesView bytes);
  static std::string_view reply();
  static std::string_view refusal();

  // As if the client had spoken HTTP/2 from the start: its preface, its SETTINGS, the request as stream 1, and whatever
  // it has sent since.
  Bytes hand_over() const;

  static constexpr std::size_t kMaxHeadBytes = 8 << 10;
  static constexpr std::size_t kMaxBodyBytes = (64 << 10) - 1;  // a stream's first window

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace mezite::auth::rpc
