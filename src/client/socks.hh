// The server's side of SOCKS 4, 4a and 5 (RFC 1928, CONNECT without authentication), without I/O.
#pragma once

#include <cstdint>
#include <string>

#include "base/bytes.hh"

namespace mezite::client {

class SocksRequest {
 public:
  enum class Next {
    kMore,     // say reply() if there is any, then read on
    kConnect,  // host() and port() are asked for; answer with granted() or failed()
    kRefuse,   // say reply() and close
  };

  // Bytes of the peer, in order; at most one request is read, what follows it is rest().
  Next take(BytesView bytes);

  const std::string& host() const { return host_; }
  std::uint16_t port() const { return port_; }
  Bytes rest() const { return to_bytes(BytesView(buffer_).subspan(used_)); }
  // What is to be sent now; empty afterwards.
  Bytes reply() { return std::exchange(reply_, {}); }

  Bytes granted() const;
  Bytes failed() const;

 private:
  enum class State { kStart, kRequest5, kDone };
  Next take4();
  Next take5_methods();
  Next take5_request();
  Next refuse(Bytes reply);
  BytesView left() const { return BytesView(buffer_).subspan(used_); }

  State state_ = State::kStart;
  Bytes buffer_;
  std::size_t used_ = 0;
  int version_ = 0;
  std::string host_;
  std::uint16_t port_ = 0;
  Bytes reply_;
};

}  // namespace mezite::client
