#include "ssh/wire/writer.hh"

namespace mezite::ssh {

Writer& Writer::mpint(BytesView magnitude) {
  while (!magnitude.empty() && magnitude[0] == 0) magnitude = magnitude.subspan(1);
  const bool sign_byte = !magnitude.empty() && (magnitude[0] & 0x80) != 0;
  u32(static_cast<std::uint32_t>(magnitude.size() + (sign_byte ? 1 : 0)));
  if (sign_byte) byte(0);
  return raw(magnitude);
}

}  // namespace mezite::ssh
