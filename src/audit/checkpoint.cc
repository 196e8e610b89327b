#include "audit/checkpoint.hh"

#include <errno.h>
#include <fcntl.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>

#include "base/text.hh"

namespace mezite::audit {

namespace {

// "1 <sequence, 20 digits> <hmac> <key id, 8> <seal>\n": always as long, so that one write replaces all of it.
constexpr std::size_t kFileBytes = 2 + 20 + 1 + 64 + 1 + 8 + 1 + 64 + 1;

bool to_hash(BytesView bytes, ChainHash& out) {
  if (bytes.size() != out.size()) return false;
  std::ranges::copy(bytes, out.begin());
  return true;
}

bool to_hash_from_hex(std::string_view hex, ChainHash& out) {
  auto bytes = from_hex(hex);
  return bytes && to_hash(*bytes, out);
}

}  // namespace

bool Checkpoint::is_sealed(const ChainKeys& keys) const {
  return keys.knows(key_id) && equal_constant_time(keys.seal(key_id, sequence, hmac), seal);
}

Checkpoint make_checkpoint(const ChainKeys& keys, std::int64_t sequence, const ChainHash& hmac) {
  return {.sequence = sequence,
          .hmac = hmac,
          .key_id = keys.current_id(),
          .seal = keys.seal(keys.current_id(), sequence, hmac)};
}

Result<std::optional<Checkpoint>> load_checkpoint(store::Session& session) {
  MEZ_TRY(auto rows, session.query("SELECT sequence, hmac, key_id, seal FROM audit_head"));
  MEZ_TRY(bool found, rows.next());
  if (!found) return std::nullopt;
  Checkpoint checkpoint;
  checkpoint.sequence = rows.integer(0);
  checkpoint.key_id = rows.text(2);
  if (!to_hash(rows.bytes(1), checkpoint.hmac) || !to_hash(rows.bytes(3), checkpoint.seal)) return std::nullopt;
  return checkpoint;
}

Status store_checkpoint(store::Session& transaction, const Checkpoint& checkpoint) {
  MEZ_CHECK(transaction.execute(
      "INSERT INTO audit_head (one, sequence, hmac, key_id, seal) VALUES (1, ?1, ?2, ?3, ?4) ON CONFLICT (one) DO"
      " UPDATE SET sequence = excluded.sequence, hmac = excluded.hmac, key_id = excluded.key_id, seal = excluded.seal",
      {checkpoint.sequence, BytesView(checkpoint.hmac), checkpoint.key_id, BytesView(checkpoint.seal)}));
  return {};
}

Result<CheckpointFile> CheckpointFile::open(const std::filesystem::path& path) {
  UniqueFd fd(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!fd) return fail_errno(errno, "opening " + path.string());
  return CheckpointFile(std::move(fd));
}

std::optional<Checkpoint> CheckpointFile::read() const {
  std::array<char, kFileBytes> content{};
  if (::pread(fd_.get(), content.data(), content.size(), 0) != static_cast<ssize_t>(content.size())) return {};
  auto parts = split(trim(std::string_view(content.data(), content.size())), ' ');
  if (parts.size() != 5 || parts[0] != "1") return std::nullopt;
  Checkpoint checkpoint;
  const char* end = parts[1].data() + parts[1].size();
  auto [stopped, error] = std::from_chars(parts[1].data(), end, checkpoint.sequence);
  if (error != std::errc() || stopped != end) return std::nullopt;
  checkpoint.key_id = trim(parts[3]);
  if (checkpoint.key_id.starts_with(kNoKeyId)) checkpoint.key_id = kNoKeyId;
  if (!to_hash_from_hex(parts[2], checkpoint.hmac) || !to_hash_from_hex(parts[4], checkpoint.seal)) return std::nullopt;
  return checkpoint;
}

Status CheckpointFile::write(const Checkpoint& checkpoint) {
  std::string content = fmt::format("1 {:020} {} {:-<8} {}\n", checkpoint.sequence, to_hex(checkpoint.hmac),
                                    checkpoint.key_id, to_hex(checkpoint.seal));
  if (::pwrite(fd_.get(), content.data(), content.size(), 0) != static_cast<ssize_t>(content.size())) {
    return fail_errno(errno, "writing audit.head");
  }
  return {};
}

}  // namespace mezite::audit
