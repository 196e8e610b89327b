#include "crypto/mlkem768.hh"

#include <string.h>

#include <cstring>

#include "crypto/declassify.hh"
#include "crypto/random.hh"
#include "crypto/sha3.hh"

namespace mezite::crypto::mlkem768 {
namespace {

constexpr unsigned kQ = 3329;
constexpr std::size_t kN = 256;
constexpr std::size_t kRank = 3;
constexpr unsigned kDu = 10, kDv = 4;
constexpr std::size_t kPolyBytes = 384;  // 256 coefficients of 12 bits
constexpr std::size_t kUBytes = 32 * kDu, kVBytes = 32 * kDv;

// Coefficients are kept in [0, q); no operation on them branches or indexes by their value.
using Poly = std::array<std::uint16_t, kN>;
using Vector = std::array<Poly, kRank>;

// x - q when x >= q, for x < 2q.
constexpr std::uint16_t reduce_once(unsigned x) {
  unsigned difference = x - kQ;
  return static_cast<std::uint16_t>(difference + (kQ & (0u - (difference >> 31))));
}
// x mod q for x < 2^24, by Barrett's multiplication: 5039 = floor(2^24 / q).
constexpr std::uint16_t reduce(std::uint32_t x) {
  std::uint32_t quotient = static_cast<std::uint32_t>((static_cast<std::uint64_t>(x) * 5039) >> 24);
  return reduce_once(x - quotient * kQ);
}
constexpr std::uint16_t add(std::uint16_t a, std::uint16_t b) { return reduce_once(unsigned{a} + b); }
constexpr std::uint16_t subtract(std::uint16_t a, std::uint16_t b) { return reduce_once(unsigned{a} + kQ - b); }
constexpr std::uint16_t multiply(std::uint16_t a, std::uint16_t b) { return reduce(std::uint32_t{a} * b); }

constexpr unsigned reverse7(unsigned i) {
  unsigned out = 0;
  for (int bit = 0; bit < 7; ++bit) out |= (i >> bit & 1) << (6 - bit);
  return out;
}
constexpr std::uint16_t power(std::uint16_t base, unsigned exponent) {
  std::uint16_t out = 1;
  for (unsigned i = 0; i < exponent; ++i) out = multiply(out, base);
  return out;
}

// zeta = 17: kZetas[i] = zeta^BitRev7(i), kGammas[i] = zeta^(2 BitRev7(i) + 1) (FIPS 203, appendix A).
constexpr auto kZetas = [] {
  std::array<std::uint16_t, 128> out{};
  for (unsigned i = 0; i < 128; ++i) out[i] = power(17, reverse7(i));
  return out;
}();
constexpr auto kGammas = [] {
  std::array<std::uint16_t, 128> out{};
  for (unsigned i = 0; i < 128; ++i) out[i] = power(17, 2 * reverse7(i) + 1);
  return out;
}();

// Algorithm 9.
void ntt(Poly& f) {
  std::size_t i = 1;
  for (std::size_t length = 128; length >= 2; length /= 2) {
    for (std::size_t start = 0; start < kN; start += 2 * length) {
      std::uint16_t zeta = kZetas[i++];
      for (std::size_t j = start; j < start + length; ++j) {
        std::uint16_t t = multiply(zeta, f[j + length]);
        f[j + length] = subtract(f[j], t);
        f[j] = add(f[j], t);
      }
    }
  }
}

// Algorithm 10.
void inverse_ntt(Poly& f) {
  std::size_t i = 127;
  for (std::size_t length = 2; length <= 128; length *= 2) {
    for (std::size_t start = 0; start < kN; start += 2 * length) {
      std::uint16_t zeta = kZetas[i--];
      for (std::size_t j = start; j < start + length; ++j) {
        std::uint16_t t = f[j];
        f[j] = add(t, f[j + length]);
        f[j + length] = multiply(zeta, subtract(f[j + length], t));
      }
    }
  }
  for (std::uint16_t& c : f) c = multiply(c, 3303);  // 128^-1
}

// sum += a * b in the NTT domain (algorithms 11 and 12).
void multiply_add(Poly& sum, const Poly& a, const Poly& b) {
  for (std::size_t i = 0; i < 128; ++i) {
    std::uint16_t a0 = a[2 * i], a1 = a[2 * i + 1], b0 = b[2 * i], b1 = b[2 * i + 1];
    std::uint16_t low = add(multiply(a0, b0), multiply(multiply(a1, b1), kGammas[i]));
    std::uint16_t high = add(multiply(a0, b1), multiply(a1, b0));
    sum[2 * i] = add(sum[2 * i], low);
    sum[2 * i + 1] = add(sum[2 * i + 1], high);
  }
}

void add_to(Poly& a, const Poly& b) {
  for (std::size_t i = 0; i < kN; ++i) a[i] = add(a[i], b[i]);
}

// round(2^d x / q) mod 2^d. The division is a multiplication by ceil(2^36 / q), exact for these sizes, because a
// division instruction takes a time that depends on secrets (KyberSlash).
std::uint16_t compress(std::uint16_t x, unsigned d) {
  std::uint64_t scaled = (static_cast<std::uint64_t>(x) << d) + kQ / 2;
  return static_cast<std::uint16_t>((scaled * 20642679) >> 36 & ((1u << d) - 1));
}
// round(q y / 2^d).
std::uint16_t decompress(std::uint16_t y, unsigned d) {
  return static_cast<std::uint16_t>((std::uint32_t{y} * kQ + (1u << (d - 1))) >> d);
}

// Algorithms 5 and 6: d bits a coefficient, least significant first.
void encode(const Poly& f, unsigned d, std::span<std::uint8_t> out) {
  std::uint32_t held = 0;
  unsigned bits = 0;
  std::size_t at = 0;
  for (std::uint16_t c : f) {
    held |= std::uint32_t{c} << bits;
    for (bits += d; bits >= 8; bits -= 8, held >>= 8) out[at++] = static_cast<std::uint8_t>(held);
  }
}
Poly decode(BytesView bytes, unsigned d) {
  Poly f;
  std::uint32_t held = 0;
  unsigned bits = 0;
  std::size_t at = 0;
  for (std::uint16_t& c : f) {
    for (; bits < d; bits += 8) held |= std::uint32_t{bytes[at++]} << bits;
    c = static_cast<std::uint16_t>(held & ((1u << d) - 1));
    held >>= d;
    bits -= d;
  }
  return f;
}

// Algorithm 7: rejection sampling from public bytes. Three blocks of SHAKE128 give too few coefficients once in some
// hundred times; then more of the same output is taken.
Poly sample_ntt(BytesView rho, std::uint8_t column, std::uint8_t row) {
  Poly f;
  std::array<std::uint8_t, 168 * 16> stream;
  std::uint8_t place[2] = {column, row};
  for (std::size_t size = 168 * 3;; size = stream.size()) {
    shake128(rho, place, std::span(stream).first(size));
    std::size_t have = 0;
    for (std::size_t at = 0; at + 3 <= size && have < kN; at += 3) {
      unsigned first = stream[at] | (stream[at + 1] & 15u) << 8;
      unsigned second = stream[at + 1] >> 4 | unsigned{stream[at + 2]} << 4;
      if (first < kQ) f[have++] = static_cast<std::uint16_t>(first);
      if (second < kQ && have < kN) f[have++] = static_cast<std::uint16_t>(second);
    }
    // 2,688 bytes give 256 coefficients but for a chance of less than 2^-700.
    if (have == kN || size == stream.size()) return f;
  }
}

// Algorithm 8 with eta = 2 over PRF(key, counter).
Poly sample_noise(BytesView key, std::uint8_t counter) {
  std::array<std::uint8_t, 128> bytes;
  shake256(key, BytesView(&counter, 1), bytes);
  Poly f;
  for (std::size_t i = 0; i < kN; ++i) {
    unsigned four = bytes[i / 2] >> (i % 2 * 4);
    unsigned plus = (four & 1) + (four >> 1 & 1), minus = (four >> 2 & 1) + (four >> 3 & 1);
    f[i] = reduce_once(plus + kQ - minus);
  }
  ::explicit_bzero(bytes.data(), bytes.size());
  return f;
}

// A[row][column] of the public matrix; transposed when it is asked for with the two exchanged.
Poly matrix_entry(BytesView rho, std::size_t row, std::size_t column) {
  return sample_ntt(rho, static_cast<std::uint8_t>(column), static_cast<std::uint8_t>(row));
}

// K-PKE.Encrypt, algorithm 14. t is the public vector in the NTT domain.
std::array<std::uint8_t, kCiphertextBytes> encrypt(const Vector& t, BytesView rho, BytesView message, BytesView coins) {
  std::array<std::uint8_t, kCiphertextBytes> out;
  std::uint8_t counter = 0;
  Vector y;
  for (Poly& f : y) {
    f = sample_noise(coins, counter++);
    ntt(f);
  }
  for (std::size_t i = 0; i < kRank; ++i) {
    Poly u{};
    for (std::size_t j = 0; j < kRank; ++j) multiply_add(u, matrix_entry(rho, j, i), y[j]);
    inverse_ntt(u);
    add_to(u, sample_noise(coins, counter++));
    for (std::uint16_t& c : u) c = compress(c, kDu);
    encode(u, kDu, std::span(out).subspan(i * kUBytes, kUBytes));
  }
  Poly v{};
  for (std::size_t i = 0; i < kRank; ++i) multiply_add(v, t[i], y[i]);
  inverse_ntt(v);
  add_to(v, sample_noise(coins, counter));
  Poly mu = decode(message, 1);
  for (std::uint16_t& c : mu) c = decompress(c, 1);
  add_to(v, mu);
  for (std::uint16_t& c : v) c = compress(c, kDv);
  encode(v, kDv, std::span(out).last(kVBytes));
  ::explicit_bzero(y.data(), sizeof y);
  ::explicit_bzero(mu.data(), sizeof mu);
  return out;
}

Vector decode_vector(BytesView bytes) {
  Vector out;
  for (std::size_t i = 0; i < kRank; ++i) out[i] = decode(bytes.subspan(i * kPolyBytes, kPolyBytes), 12);
  return out;
}

}  // namespace

KeyPair from_seed(std::span<const std::uint8_t, kSeedBytes> seed) {
  // K-PKE.KeyGen, algorithm 13: (rho, sigma) = G(d || k).
  const std::uint8_t rank = kRank;
  std::array<std::uint8_t, 64> expanded = sha3_512(seed.first(32), BytesView(&rank, 1));
  std::array<std::uint8_t, 32> rho;
  std::memcpy(rho.data(), expanded.data(), rho.size());
  declassify(rho);  // part of the public key
  BytesView sigma = BytesView(expanded).last(32);
  Vector s, t;
  for (std::uint8_t i = 0; i < kRank; ++i) {
    s[i] = sample_noise(sigma, i);
    ntt(s[i]);
    t[i] = sample_noise(sigma, static_cast<std::uint8_t>(kRank + i));
    ntt(t[i]);
  }
  for (std::size_t i = 0; i < kRank; ++i) {
    for (std::size_t j = 0; j < kRank; ++j) multiply_add(t[i], matrix_entry(rho, i, j), s[j]);
  }

  KeyPair pair{.public_key = {}, .private_key = Secret(kPrivateKeyBytes)};
  std::span<std::uint8_t> dk(pair.private_key.data(), kPrivateKeyBytes);
  for (std::size_t i = 0; i < kRank; ++i) {
    encode(t[i], 12, std::span(pair.public_key).subspan(i * kPolyBytes, kPolyBytes));
    encode(s[i], 12, dk.subspan(i * kPolyBytes, kPolyBytes));
  }
  std::memcpy(pair.public_key.data() + kRank * kPolyBytes, rho.data(), 32);
  declassify(pair.public_key);
  // dk = s || ek || H(ek) || z, algorithm 16.
  std::memcpy(dk.data() + kRank * kPolyBytes, pair.public_key.data(), kPublicKeyBytes);
  std::memcpy(dk.data() + kPrivateKeyBytes - 64, sha3_256(pair.public_key).data(), 32);
  std::memcpy(dk.data() + kPrivateKeyBytes - 32, seed.data() + 32, 32);
  ::explicit_bzero(expanded.data(), expanded.size());
  ::explicit_bzero(s.data(), sizeof s);
  return pair;
}

KeyPair generate() {
  Secret seed(kSeedBytes);
  fill_random({seed.data(), kSeedBytes});
  return from_seed(std::span<const std::uint8_t, kSeedBytes>(seed.view()));
}

Result<Encapsulated> encapsulate_with(BytesView public_key, std::span<const std::uint8_t, kMessageBytes> message) {
  if (public_key.size() != kPublicKeyBytes) {
    return fail(ErrorCode::kProtocol, "an ML-KEM-768 public key has {} bytes, not {}", kPublicKeyBytes,
                public_key.size());
  }
  Vector t = decode_vector(public_key);
  for (const Poly& f : t) {
    for (std::uint16_t c : f) {
      if (c >= kQ) return fail(ErrorCode::kProtocol, "ML-KEM-768 public key with a coefficient that is not reduced");
    }
  }
  std::array<std::uint8_t, 64> expanded = sha3_512(message, sha3_256(public_key));
  Encapsulated out{
      .ciphertext = encrypt(t, public_key.last(32), message, BytesView(expanded).last(32)),
      .shared_secret = Secret(BytesView(expanded).first(32)),
  };
  ::explicit_bzero(expanded.data(), expanded.size());
  return out;
}

Result<Encapsulated> encapsulate(BytesView public_key) {
  Secret message(kMessageBytes);
  fill_random({message.data(), kMessageBytes});
  return encapsulate_with(public_key, std::span<const std::uint8_t, kMessageBytes>(message.view()));
}

Result<Secret> decapsulate(BytesView private_key, BytesView ciphertext) {
  if (private_key.size() != kPrivateKeyBytes) return fail(ErrorCode::kInternal, "not an ML-KEM-768 private key");
  if (ciphertext.size() != kCiphertextBytes) {
    return fail(ErrorCode::kProtocol, "an ML-KEM-768 ciphertext has {} bytes, not {}", kCiphertextBytes,
                ciphertext.size());
  }
  Vector s = decode_vector(private_key);
  BytesView public_key = private_key.subspan(kRank * kPolyBytes, kPublicKeyBytes);
  BytesView public_hash = private_key.subspan(kPrivateKeyBytes - 64, 32);

  // K-PKE.Decrypt, algorithm 15.
  Poly w{};
  for (std::size_t i = 0; i < kRank; ++i) {
    Poly u = decode(ciphertext.subspan(i * kUBytes, kUBytes), kDu);
    for (std::uint16_t& c : u) c = decompress(c, kDu);
    ntt(u);
    multiply_add(w, s[i], u);
  }
  inverse_ntt(w);
  Poly v = decode(ciphertext.last(kVBytes), kDv);
  for (std::size_t i = 0; i < kN; ++i) w[i] = compress(subtract(decompress(v[i], kDv), w[i]), 1);
  Secret message(kMessageBytes);
  encode(w, 1, {message.data(), kMessageBytes});

  std::array<std::uint8_t, 64> expanded = sha3_512(message.view(), public_hash);
  auto again = encrypt(decode_vector(public_key), public_key.last(32), message.view(), BytesView(expanded).last(32));
  // The secret when the ciphertext is the one that the message makes, else J(z || c); chosen without a branch.
  std::array<std::uint8_t, 32> rejected;
  shake256(private_key.last(32), ciphertext, rejected);
  std::uint32_t difference = 0;
  for (std::size_t i = 0; i < kCiphertextBytes; ++i) difference |= static_cast<std::uint32_t>(again[i] ^ ciphertext[i]);
  std::uint8_t use_rejected = static_cast<std::uint8_t>(0u - ((difference + 0xff) >> 8));
  Secret out(kSharedSecretBytes);
  for (std::size_t i = 0; i < kSharedSecretBytes; ++i) {
    out.data()[i] = static_cast<std::uint8_t>((expanded[i] & ~use_rejected) | (rejected[i] & use_rejected));
  }
  ::explicit_bzero(s.data(), sizeof s);
  ::explicit_bzero(w.data(), sizeof w);
  ::explicit_bzero(expanded.data(), expanded.size());
  ::explicit_bzero(rejected.data(), rejected.size());
  return out;
}

}  // namespace mezite::crypto::mlkem768
