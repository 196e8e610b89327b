#include "ssh/transport/identification.hh"

#include <algorithm>

namespace mezite::ssh {

namespace {

constexpr std::string_view kPrefix = "SSH-2.0-";
constexpr std::string_view kCompatiblePrefix = "SSH-1.99-";  // RFC 4253 §5.1: a server that speaks both
constexpr std::string_view kAnyPrefix = "SSH-";

bool is_printable_ascii(std::string_view text) {
  return std::ranges::all_of(text, [](char c) { return c >= 0x20 && c <= 0x7e; });
}

// Whether what there is of a line can still become the identification.
bool may_become_version(std::string_view text) {
  return text.substr(0, kPrefix.size()) == kPrefix.substr(0, text.size());
}

}  // namespace

bool is_valid_identification(std::string_view text) {
  return text.starts_with(kPrefix) && text.size() > kPrefix.size() && text.size() + 2 <= kMaxIdentificationBytes &&
         is_printable_ascii(text);
}

Result<std::size_t> IdentificationReader::feed(BytesView input) {
  std::size_t used = 0;
  while (used < input.size() && !done_) {
    const char c = static_cast<char>(input[used++]);
    if (c == '\n') {
      MEZ_CHECK(end_line());
      continue;
    }
    if (c == '\0') return fail(ErrorCode::kProtocol, "NUL before or in the identification");
    if (line_.size() + 1 >= kMaxIdentificationBytes) {
      return fail(ErrorCode::kProtocol, "line of over {} bytes instead of an identification", kMaxIdentificationBytes);
    }
    line_.push_back(c);
    if (role_ == Role::kServer && !may_become_version(line_)) {
      return fail(ErrorCode::kProtocol, "the client does not speak SSH 2");
    }
  }
  return used;
}

Status IdentificationReader::end_line() {
  if (line_.ends_with('\r')) line_.pop_back();
  const bool spoken = line_.starts_with(kPrefix) || (role_ == Role::kClient && line_.starts_with(kCompatiblePrefix));
  if (spoken) {
    if (!is_printable_ascii(line_)) return fail(ErrorCode::kProtocol, "identification with unprintable characters");
    done_ = true;
    return {};
  }
  if (line_.starts_with(kAnyPrefix) || role_ == Role::kServer) {
    return fail(ErrorCode::kProtocol, "the peer does not speak SSH 2");
  }
  if (++lines_ >= max_lines_) return fail(ErrorCode::kProtocol, "{} lines and no identification", lines_);
  line_.clear();
  return {};
}

}  // namespace mezite::ssh
