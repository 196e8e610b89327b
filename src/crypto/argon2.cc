#include "crypto/argon2.hh"

#include <argon2.h>

#include <algorithm>
#include <charconv>
#include <optional>
#include <semaphore>
#include <thread>

#include "base/text.hh"
#include "crypto/random.hh"

namespace mezite::crypto {
namespace {

constexpr std::size_t kSaltBytes = 16;
constexpr std::size_t kHashBytes = 32;
constexpr std::ptrdiff_t kMostAtOnce = 64;

// Each takes a core and its memory (64 MiB by default): what comes beyond this waits, however many workers there are.
std::counting_semaphore<kMostAtOnce>& slots() {
  static std::counting_semaphore<kMostAtOnce> all(
      std::clamp<std::ptrdiff_t>(2 * static_cast<std::ptrdiff_t>(std::thread::hardware_concurrency()), 4, kMostAtOnce));
  return all;
}

struct PhcHash {
  Argon2Params params;
  Bytes salt;
  Bytes hash;
};

std::optional<std::uint32_t> parse_number(std::string_view text, std::string_view prefix, std::uint32_t max) {
  if (!text.starts_with(prefix)) return std::nullopt;
  text.remove_prefix(prefix.size());
  std::uint32_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value == 0 || value > max) return std::nullopt;
  return value;
}

// Parsed here and not by libargon2, which would allocate whatever a stored string asks for.
std::optional<PhcHash> parse_phc(std::string_view text) {
  const auto parts = split(text, '$');
  if (text.size() > 512 || parts.size() != 6 || !parts[0].empty() || parts[1] != "argon2id" || parts[2] != "v=19") {
    return std::nullopt;
  }
  const auto params = split(parts[3], ',');
  if (params.size() != 3) return std::nullopt;
  const auto memory = parse_number(params[0], "m=", std::uint32_t{1} << 20);
  const auto iterations = parse_number(params[1], "t=", 64);
  const auto lanes = parse_number(params[2], "p=", 64);
  auto salt = from_base64(parts[4]);
  auto hash = from_base64(parts[5]);
  if (!memory || !iterations || !lanes || !salt || salt->size() < 8 || !hash || hash->size() < 16) return std::nullopt;
  return PhcHash{{*memory, *iterations, *lanes}, std::move(*salt), std::move(*hash)};
}

}  // namespace

Result<Secret> derive_key(BytesView passphrase, BytesView salt, const Argon2Params& params, std::size_t size_bytes) {
  Secret out(size_bytes);
  slots().acquire();
  const int error = argon2id_hash_raw(params.iterations, params.memory_kib, params.lanes, passphrase.data(),
                                      passphrase.size(), salt.data(), salt.size(), out.data(), out.size());
  slots().release();
  if (error == ARGON2_MEMORY_ALLOCATION_ERROR) {
    return fail(ErrorCode::kResourceExhausted, "Argon2id needs {} KiB of memory and there is less", params.memory_kib);
  }
  if (error != ARGON2_OK) return fail(ErrorCode::kInvalidArgument, "Argon2id: {}", argon2_error_message(error));
  return out;
}

Result<std::string> hash_password(std::string_view password, const Argon2Params& params) {
  const Bytes salt = random_bytes(kSaltBytes);
  MEZ_TRY(const Secret hash, derive_key(as_bytes(password), salt, params, kHashBytes));
  return fmt::format("$argon2id$v=19$m={},t={},p={}${}${}", params.memory_kib, params.iterations, params.lanes,
                     to_base64_unpadded(salt), to_base64_unpadded(hash.view()));
}

Result<bool> verify_password(std::string_view password, std::string_view phc) {
  const auto stored = parse_phc(phc);
  if (!stored) return fail(ErrorCode::kCorrupt, "the stored password hash is not one of Argon2id");
  MEZ_TRY(const Secret hash, derive_key(as_bytes(password), stored->salt, stored->params, stored->hash.size()));
  return equal_constant_time(hash.view(), stored->hash);
}

bool password_needs_rehash(std::string_view phc, const Argon2Params& params) {
  const auto stored = parse_phc(phc);
  return !stored || stored->params != params;
}

}  // namespace mezite::crypto
