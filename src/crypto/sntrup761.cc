#include "crypto/sntrup761.hh"

#include <string.h>

#include <cstring>
#include <vector>

#include "crypto/declassify.hh"
#include "crypto/hash.hh"
#include "crypto/random.hh"
#include "crypto/sntrup761_ring.hh"

// "NTRU Prime: round 3", Bernstein, Brumley, Chen, Chuengsatiansup, Lange, Marotzke, Peng, Tuveri, van Vredendaal, Yang
// (2020), section numbers below are its own.
namespace mezite::crypto::sntrup761 {
namespace {

constexpr std::int32_t kHalfQ = (kQ - 1) / 2;
constexpr std::size_t kWeight = 286;
constexpr std::size_t kSmallBytes = (kP + 3) / 4;
constexpr std::size_t kRoundedBytes = 1007;
constexpr std::size_t kConfirmBytes = 32;
static_assert(kRoundedBytes + kConfirmBytes == kCiphertextBytes);
static_assert(2 * kSmallBytes + kPublicKeyBytes + kSmallBytes + 32 == kPrivateKeyBytes);

// Section 3.1.3 (Encode): mixed-radix numbers, neighbours merged pairwise, bytes given off as soon as a radix reaches
// 2^14. The radices are public; the digits are not looked at.
void encode_radix(std::vector<std::uint32_t> digits, std::vector<std::uint32_t> radices, std::uint8_t* out) {
  auto give = [&](std::uint32_t& digit, std::uint32_t& radix) {
    *out++ = static_cast<std::uint8_t>(digit);
    digit >>= 8;
    radix = (radix + 255) >> 8;
  };
  while (digits.size() > 1) {
    std::size_t half = digits.size() / 2, odd = digits.size() % 2;
    for (std::size_t i = 0; i < half; ++i) {
      std::uint32_t digit = digits[2 * i] + digits[2 * i + 1] * radices[2 * i];
      std::uint32_t radix = radices[2 * i] * radices[2 * i + 1];
      while (radix >= 16384) give(digit, radix);
      digits[i] = digit;
      radices[i] = radix;
    }
    if (odd) digits[half] = digits.back(), radices[half] = radices.back();
    digits.resize(half + odd);
    radices.resize(half + odd);
  }
  while (radices[0] > 1) give(digits[0], radices[0]);
}

// The reverse, of public bytes only (it divides). Digits of malformed input are brought below their radix.
std::vector<std::uint32_t> decode_radix(const std::uint8_t*& in, const std::vector<std::uint32_t>& radices) {
  if (radices.size() == 1) {
    std::uint32_t digit = 0, shift = 0;
    for (std::uint32_t radix = radices[0]; radix > 1; radix = (radix + 255) >> 8, shift += 8)
      digit |= std::uint32_t{*in++} << shift;
    return {digit % radices[0]};
  }
  std::vector<std::uint32_t> merged, low, scale;
  for (std::size_t i = 0; i + 1 < radices.size(); i += 2) {
    std::uint32_t radix = radices[i] * radices[i + 1], digit = 0, unit = 1;
    while (radix >= 16384) {
      digit += unit * *in++;
      unit <<= 8;
      radix = (radix + 255) >> 8;
    }
    merged.push_back(radix);
    low.push_back(digit);
    scale.push_back(unit);
  }
  if (radices.size() % 2) merged.push_back(radices.back());
  std::vector<std::uint32_t> upper = decode_radix(in, merged), out;
  for (std::size_t i = 0; i + 1 < radices.size(); i += 2) {
    std::uint32_t digit = low[i / 2] + scale[i / 2] * upper[i / 2];
    out.push_back(digit % radices[i]);
    out.push_back(digit / radices[i] % radices[i + 1]);
  }
  if (radices.size() % 2) out.push_back(upper.back());
  return out;
}

void encode_rq(const Poly& f, std::uint8_t* out) {
  std::vector<std::uint32_t> digits(kP), radices(kP, kQ);
  for (std::size_t i = 0; i < kP; ++i) digits[i] = static_cast<std::uint32_t>(f[i] + kHalfQ);
  encode_radix(std::move(digits), std::move(radices), out);
}
Poly decode_rq(const std::uint8_t* in) {
  std::vector<std::uint32_t> digits = decode_radix(in, std::vector<std::uint32_t>(kP, kQ));
  Poly f;
  for (std::size_t i = 0; i < kP; ++i) f[i] = static_cast<std::int16_t>(static_cast<std::int32_t>(digits[i]) - kHalfQ);
  return f;
}

// Multiples of three, stored as their third: (x + 2295) / 3, by multiplication.
void encode_rounded(const Poly& f, std::uint8_t* out) {
  std::vector<std::uint32_t> digits(kP), radices(kP, (kQ + 2) / 3);
  for (std::size_t i = 0; i < kP; ++i) digits[i] = static_cast<std::uint32_t>(f[i] + kHalfQ) * 10923u >> 15;
  encode_radix(std::move(digits), std::move(radices), out);
}
Poly decode_rounded(const std::uint8_t* in) {
  std::vector<std::uint32_t> digits = decode_radix(in, std::vector<std::uint32_t>(kP, (kQ + 2) / 3));
  Poly f;
  for (std::size_t i = 0; i < kP; ++i)
    f[i] = static_cast<std::int16_t>(static_cast<std::int32_t>(digits[i]) * 3 - kHalfQ);
  return f;
}

// Two bits a coefficient, c + 1.
void encode_small(const Poly& f, std::uint8_t* out) {
  for (std::size_t i = 0; i < kSmallBytes; ++i) {
    unsigned byte = 0;
    for (std::size_t j = 0; j < 4 && 4 * i + j < kP; ++j) byte |= static_cast<unsigned>(f[4 * i + j] + 1) << 2 * j;
    out[i] = static_cast<std::uint8_t>(byte);
  }
}
Poly decode_small(const std::uint8_t* in) {
  Poly f;
  for (std::size_t i = 0; i < kP; ++i) f[i] = static_cast<std::int16_t>((in[i / 4] >> 2 * (i % 4) & 3) - 1);
  return f;
}

// A small polynomial of weight 286: random numbers whose two low bits are the coefficients, sorted.
Poly random_short() {
  std::array<std::uint32_t, kP> list;
  fill_random({reinterpret_cast<std::uint8_t*>(list.data()), sizeof list});
  for (std::size_t i = 0; i < kP; ++i) list[i] = i < kWeight ? list[i] & ~1u : (list[i] & ~3u) | 1u;
  sort(list);
  Poly f;
  for (std::size_t i = 0; i < kP; ++i) f[i] = static_cast<std::int16_t>(static_cast<std::int32_t>(list[i] & 3) - 1);
  ::explicit_bzero(list.data(), sizeof list);
  return f;
}

Poly random_small() {
  std::array<std::uint32_t, kP> list;
  fill_random({reinterpret_cast<std::uint8_t*>(list.data()), sizeof list});
  Poly f;
  for (std::size_t i = 0; i < kP; ++i) {
    f[i] = static_cast<std::int16_t>(static_cast<std::int32_t>((list[i] & 0x3fffffff) * 3 >> 30) - 1);
  }
  ::explicit_bzero(list.data(), sizeof list);
  return f;
}

// SHA-512(prefix || a || b), first half.
std::array<std::uint8_t, 32> hash_prefixed(std::uint8_t prefix, BytesView a, BytesView b = {}) {
  Bytes digest = Hasher(HashAlgorithm::kSha512).update(BytesView(&prefix, 1)).update(a).update(b).finish();
  std::array<std::uint8_t, 32> out;
  std::memcpy(out.data(), digest.data(), out.size());
  return out;
}

// Section 2.5 (Hide): the ciphertext that belongs to the short polynomial r.
std::array<std::uint8_t, kCiphertextBytes> hide(const Poly& r, BytesView r_encoded, const Poly& public_poly,
                                                BytesView public_hash) {
  Poly rounded = multiply_q(public_poly, r);
  for (std::int16_t& c : rounded) c = static_cast<std::int16_t>(c - centre<3>(c));
  std::array<std::uint8_t, kCiphertextBytes> out;
  encode_rounded(rounded, out.data());
  auto confirm = hash_prefixed(2, hash_prefixed(3, r_encoded), public_hash);
  std::memcpy(out.data() + kRoundedBytes, confirm.data(), kConfirmBytes);
  return out;
}

std::array<std::uint8_t, 32> session_hash(std::uint8_t prefix, BytesView r_encoded, BytesView ciphertext) {
  return hash_prefixed(prefix, hash_prefixed(3, r_encoded), ciphertext);
}

}  // namespace

KeyPair generate() {
  Poly g, g_inverse;
  for (std::int32_t invertible = 0; invertible == 0;) {
    g = random_small();
    g_inverse = reciprocal_3(g, &invertible);
    declassify(invertible);  // of a g that is thrown away
  }
  Poly f = random_short();
  Poly h = multiply_q(reciprocal_of_triple_q(f), g);

  KeyPair pair{.public_key = {}, .private_key = Secret(kPrivateKeyBytes)};
  encode_rq(h, pair.public_key.data());
  declassify(pair.public_key);
  std::uint8_t* out = pair.private_key.data();
  encode_small(f, out);
  encode_small(g_inverse, out + kSmallBytes);
  std::memcpy(out + 2 * kSmallBytes, pair.public_key.data(), kPublicKeyBytes);
  fill_random({out + 2 * kSmallBytes + kPublicKeyBytes, kSmallBytes});
  auto public_hash = hash_prefixed(4, pair.public_key);
  std::memcpy(out + kPrivateKeyBytes - 32, public_hash.data(), 32);
  for (Poly* secret : {&f, &g, &g_inverse}) ::explicit_bzero(secret->data(), sizeof *secret);
  return pair;
}

Result<Encapsulated> encapsulate(BytesView public_key) {
  if (public_key.size() != kPublicKeyBytes) {
    return fail(ErrorCode::kProtocol, "an sntrup761 public key has {} bytes, not {}", kPublicKeyBytes,
                public_key.size());
  }
  Poly r = random_short();
  Secret r_encoded(kSmallBytes);
  encode_small(r, r_encoded.data());
  Encapsulated out{.ciphertext = hide(r, r_encoded.view(), decode_rq(public_key.data()), hash_prefixed(4, public_key)),
                   .shared_secret = {}};
  out.shared_secret = Secret(BytesView(session_hash(1, r_encoded.view(), out.ciphertext)));
  ::explicit_bzero(r.data(), sizeof r);
  return out;
}

Result<Secret> decapsulate(BytesView private_key, BytesView ciphertext) {
  if (private_key.size() != kPrivateKeyBytes) return fail(ErrorCode::kInternal, "not an sntrup761 private key");
  if (ciphertext.size() != kCiphertextBytes) {
    return fail(ErrorCode::kProtocol, "an sntrup761 ciphertext has {} bytes, not {}", kCiphertextBytes,
                ciphertext.size());
  }
  const std::uint8_t* in = private_key.data();
  Poly f = decode_small(in), g_inverse = decode_small(in + kSmallBytes);
  BytesView public_key = private_key.subspan(2 * kSmallBytes, kPublicKeyBytes);
  BytesView fallback = private_key.subspan(2 * kSmallBytes + kPublicKeyBytes, kSmallBytes);

  // r = (3 c f mod q mod 3) / g; when its weight is not 286 a fixed polynomial of that weight takes its place.
  Poly e = multiply_q(decode_rounded(ciphertext.data()), f);
  for (std::int16_t& c : e) c = static_cast<std::int16_t>(centre<3>(centre<kQ>(3 * c)));
  Poly r = multiply_3(e, g_inverse);
  std::int32_t weight = 0;
  for (std::int16_t c : r) weight += c & 1;
  std::int32_t wrong = nonzero_mask(weight - static_cast<std::int32_t>(kWeight));
  for (std::size_t i = 0; i < kP; ++i) {
    std::int32_t fixed = i < kWeight ? 1 : 0;
    r[i] = static_cast<std::int16_t>(((r[i] ^ fixed) & ~wrong) ^ fixed);
  }

  Secret r_encoded(kSmallBytes);
  encode_small(r, r_encoded.data());
  auto again = hide(r, r_encoded.view(), decode_rq(public_key.data()), private_key.last(32));
  std::int32_t difference = 0;
  for (std::size_t i = 0; i < kCiphertextBytes; ++i) difference |= again[i] ^ ciphertext[i];
  std::int32_t rejected = nonzero_mask(difference);
  for (std::size_t i = 0; i < kSmallBytes; ++i) {
    r_encoded.data()[i] =
        static_cast<std::uint8_t>(r_encoded.data()[i] ^ (rejected & (r_encoded.data()[i] ^ fallback[i])));
  }
  Secret out(BytesView(session_hash(static_cast<std::uint8_t>(1 + rejected), r_encoded.view(), ciphertext)));
  for (Poly* secret : {&f, &g_inverse, &e, &r}) ::explicit_bzero(secret->data(), sizeof *secret);
  return out;
}

}  // namespace mezite::crypto::sntrup761
