// The peer's identification string (RFC 4253 §4.2), fed in whatever pieces it comes.
#pragma once

#include <string>

#include "base/bytes.hh"
#include "base/result.hh"
#include "ssh/transport/transport.hh"

namespace mezite::ssh {

// Room for "SSH-2.0-…" with its CR LF.
inline constexpr std::size_t kMaxIdentificationBytes = 255;

class IdentificationReader {
 public:
  // Own role: a client may find lines before the identification, a server may not.
  IdentificationReader(Role role, std::size_t max_lines) : role_(role), max_lines_(max_lines) {}

  // Takes from the front of input and says how many bytes; what is left belongs to the packets. kProtocol for lines
  // that are too long, too many, or hold what no identification may hold (russh CVE-2026-48108: the bound is on what
  // has come, not on what has ended).
  Result<std::size_t> feed(BytesView input);

  bool done() const { return done_; }
  const std::string& version() const { return line_; }  // without CR LF

 private:
  Status end_line();

  Role role_;
  std::size_t max_lines_;
  std::size_t lines_ = 0;
  std::string line_;
  bool done_ = false;
};

// Whether text can be sent as an identification: "SSH-2.0-" and printable ASCII.
bool is_valid_identification(std::string_view text);

}  // namespace mezite::ssh
