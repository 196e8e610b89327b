#include "recording/utf8_joiner.hh"

#include "base/text.hh"

namespace mezite::recording {
namespace {

constexpr const char* kReplacement = "\xef\xbf\xbd";

std::size_t length_of(unsigned char lead) {
  if (lead >= 0xc2 && lead <= 0xdf) return 2;
  if (lead >= 0xe0 && lead <= 0xef) return 3;
  if (lead >= 0xf0 && lead <= 0xf4) return 4;
  return 1;
}

}  // namespace

std::string Utf8Joiner::push(BytesView bytes) {
  rest_.append(as_text(bytes));
  std::string whole;
  whole.reserve(rest_.size());
  std::size_t at = 0;
  while (at < rest_.size()) {
    const auto lead = static_cast<unsigned char>(rest_[at]);
    const std::size_t size = length_of(lead);
    if (size == 1) {
      if (lead < 0x80) {
        whole += rest_[at];
      } else {
        whole += kReplacement;
      }
      ++at;
      continue;
    }
    // A character that can't become valid any more is not waited for.
    std::size_t present = 1;
    while (present < size && at + present < rest_.size() &&
           (static_cast<unsigned char>(rest_[at + present]) & 0xc0) == 0x80) {
      ++present;
    }
    if (present < size && at + present == rest_.size()) break;
    const std::string_view character(rest_.data() + at, present);
    if (present == size && is_valid_utf8(character)) {
      whole += character;
    } else {
      whole += kReplacement;
    }
    at += present;
  }
  rest_.erase(0, at);
  return whole;
}

std::string Utf8Joiner::finish() {
  const bool cut = !rest_.empty();
  rest_.clear();
  return cut ? kReplacement : "";
}

}  // namespace mezite::recording
