#include "ssh/sftp/attributes.hh"

namespace mezite::ssh::sftp {
namespace {

constexpr std::uint32_t kSize = 0x00000001;
constexpr std::uint32_t kOwner = 0x00000002;
constexpr std::uint32_t kPermissions = 0x00000004;
constexpr std::uint32_t kTimes = 0x00000008;
constexpr std::uint32_t kExtended = 0x80000000;

}  // namespace

// Bits that version 3 does not know carry nothing in OpenSSH, and so they do here.
Attributes Attributes::read(Reader& in) {
  Attributes out;
  const std::uint32_t flags = in.u32();
  if ((flags & kSize) != 0) out.size = in.u64();
  if ((flags & kOwner) != 0) {
    const std::uint32_t user = in.u32();
    out.owner = Owner{user, in.u32()};
  }
  if ((flags & kPermissions) != 0) out.permissions = in.u32();
  if ((flags & kTimes) != 0) {
    const std::uint32_t access = in.u32();
    out.times = Times{access, in.u32()};
  }
  if ((flags & kExtended) != 0) {
    // Each pair takes eight bytes at least, so a count that lies ends with the input.
    const std::uint32_t count = in.u32();
    for (std::uint32_t i = 0; i < count && !in.failed(); ++i) {
      in.string();
      in.string();
    }
  }
  return in.failed() ? Attributes{} : out;
}

void Attributes::write(Writer& out) const {
  out.u32((size ? kSize : 0) | (owner ? kOwner : 0) | (permissions ? kPermissions : 0) | (times ? kTimes : 0));
  if (size) out.u64(*size);
  if (owner) out.u32(owner->user).u32(owner->group);
  if (permissions) out.u32(*permissions);
  if (times) out.u32(times->access).u32(times->modification);
}

}  // namespace mezite::ssh::sftp
