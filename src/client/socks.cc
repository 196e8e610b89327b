#include "client/socks.hh"

#include <arpa/inet.h>

#include <algorithm>
#include <array>

#include "base/text.hh"

namespace mezite::client {
namespace {

constexpr std::size_t kMaxRequestBytes = 1024;
constexpr std::size_t kMaxHostBytes = 255;
constexpr std::uint8_t kConnect = 1;

std::uint16_t port_at(BytesView bytes, std::size_t at) {
  return static_cast<std::uint16_t>(bytes[at] << 8 | bytes[at + 1]);
}

std::string numeric(int family, BytesView address) {
  std::array<char, INET6_ADDRSTRLEN> text{};
  ::inet_ntop(family, address.data(), text.data(), text.size());
  return text.data();
}

bool is_host(std::string_view name) {
  return !name.empty() && name.size() <= kMaxHostBytes && printable(name) == name &&
         name.find(' ') == std::string_view::npos;
}

// RFC 1928 §6: version, reply, reserved, an IPv4 address that means nothing.
Bytes reply5(std::uint8_t code) { return {5, code, 0, 1, 0, 0, 0, 0, 0, 0}; }
Bytes reply4(std::uint8_t code) { return {0, code, 0, 0, 0, 0, 0, 0}; }

}  // namespace

Bytes SocksRequest::granted() const { return version_ == 4 ? reply4(90) : reply5(0); }
Bytes SocksRequest::failed() const { return version_ == 4 ? reply4(91) : reply5(4); }  // 4: host unreachable

SocksRequest::Next SocksRequest::refuse(Bytes reply) {
  reply_.insert(reply_.end(), reply.begin(), reply.end());  // behind what is not sent yet
  state_ = State::kDone;
  return Next::kRefuse;
}

SocksRequest::Next SocksRequest::take(BytesView bytes) {
  if (state_ == State::kDone) return Next::kRefuse;
  buffer_.insert(buffer_.end(), bytes.begin(), bytes.end());
  Next next = Next::kMore;
  if (state_ == State::kStart && !buffer_.empty()) {
    version_ = buffer_[0];
    if (version_ == 4) next = take4();
    if (version_ == 5) next = take5_methods();
    if (version_ != 4 && version_ != 5) return refuse({});
  }
  if (next == Next::kMore && state_ == State::kRequest5) next = take5_request();
  if (next == Next::kMore && buffer_.size() > kMaxRequestBytes) return refuse({});
  return next;
}

// version, command, port, address, user NUL [, name NUL when the address is 0.0.0.x]
SocksRequest::Next SocksRequest::take4() {
  BytesView in = left();
  if (in.size() < 9) return Next::kMore;
  auto user_end = std::find(in.begin() + 8, in.end(), 0);
  if (user_end == in.end()) return Next::kMore;
  auto used = static_cast<std::size_t>(user_end - in.begin()) + 1;
  port_ = port_at(in, 2);
  if (in[4] == 0 && in[5] == 0 && in[6] == 0 && in[7] != 0) {
    auto begin = in.begin() + static_cast<std::ptrdiff_t>(used);
    auto end = std::find(begin, in.end(), 0);
    if (end == in.end()) return Next::kMore;
    host_.assign(begin, end);
    used += host_.size() + 1;
  } else {
    host_ = numeric(AF_INET, in.subspan(4, 4));
  }
  if (in[1] != kConnect || port_ == 0 || !is_host(host_)) return refuse(reply4(91));
  used_ += used;
  state_ = State::kDone;
  return Next::kConnect;
}

// version, count, methods
SocksRequest::Next SocksRequest::take5_methods() {
  BytesView in = left();
  if (in.size() < 2 || in.size() < 2u + in[1]) return Next::kMore;
  BytesView methods = in.subspan(2, in[1]);
  if (std::find(methods.begin(), methods.end(), 0) == methods.end()) return refuse({5, 0xff});
  used_ += 2 + methods.size();
  reply_ = {5, 0};
  state_ = State::kRequest5;
  return Next::kMore;
}

// version, command, reserved, kind of address, address, port
SocksRequest::Next SocksRequest::take5_request() {
  BytesView in = left();
  if (in.size() < 5) return Next::kMore;
  std::size_t size = 0;
  std::size_t at = 4;
  switch (in[3]) {
    case 1: size = 4; break;
    case 3: size = in[4], at = 5; break;
    case 4: size = 16; break;
    default: return refuse(reply5(8));
  }
  if (in[0] != 5) return refuse({});
  if (in.size() < at + size + 2) return Next::kMore;
  BytesView address = in.subspan(at, size);
  host_ = in[3] == 3 ? to_text(address) : numeric(in[3] == 1 ? AF_INET : AF_INET6, address);
  port_ = port_at(in, at + size);
  if (in[1] != kConnect) return refuse(reply5(7));
  if (port_ == 0 || !is_host(host_)) return refuse(reply5(1));
  used_ += at + size + 2;
  state_ = State::kDone;
  return Next::kConnect;
}

}  // namespace mezite::client
