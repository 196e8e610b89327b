#include "ssh/keys/krl.hh"

#include <algorithm>

#include "ssh/wire/writer.hh"

namespace mezite::ssh {

namespace {

constexpr std::uint64_t kMagic = 0x5353484b524c0a00;  // "SSHKRL\n\0"
constexpr std::uint32_t kFormatVersion = 1;
constexpr std::uint8_t kSectionCertificates = 1;
constexpr std::uint8_t kSectionSerialList = 0x20;
constexpr std::uint8_t kSectionKeyIds = 0x23;

}  // namespace

Bytes write_krl(const RevokedCertificates& revoked, std::uint64_t version, SystemTime generated_at,
                std::string_view comment) {
  std::vector<std::uint64_t> serials = revoked.serials;
  std::ranges::sort(serials);
  serials.erase(std::unique(serials.begin(), serials.end()), serials.end());
  std::erase(serials, 0u);
  std::vector<std::string> key_ids = revoked.key_ids;
  std::ranges::sort(key_ids);
  key_ids.erase(std::unique(key_ids.begin(), key_ids.end()), key_ids.end());

  Bytes certificates;
  Writer section(certificates);
  section.string("").string("");  // an empty CA key: of any CA; reserved
  if (!serials.empty()) {
    Bytes list;
    Writer writer(list);
    for (std::uint64_t serial : serials) writer.u64(serial);
    section.byte(kSectionSerialList).string(list);
  }
  if (!key_ids.empty()) {
    Bytes list;
    Writer writer(list);
    for (const std::string& id : key_ids) writer.string(std::string_view(id));
    section.byte(kSectionKeyIds).string(list);
  }

  Bytes krl;
  Writer writer(krl);
  writer.u64(kMagic).u32(kFormatVersion).u64(version);
  writer.u64(static_cast<std::uint64_t>(std::max<std::int64_t>(0, to_unix_seconds(generated_at))));
  writer.u64(0).string("").string(comment);  // flags; reserved
  if (!serials.empty() || !key_ids.empty()) writer.byte(kSectionCertificates).string(certificates);
  return krl;
}

}  // namespace mezite::ssh
