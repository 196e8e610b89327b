// The interface that OpenSSL 3 has for this is a provider; the older one does it in ten lines.
#define OPENSSL_SUPPRESS_DEPRECATED
#include "deterministic_random.hh"

#include <openssl/rand.h>

#include <cstdint>

namespace mezite::fuzz {

namespace {

std::uint64_t state = 0;

int fill(unsigned char* out, int size) {
  for (int i = 0; i < size; ++i) {
    state += 0x9e3779b97f4a7c15u;
    std::uint64_t mixed = (state ^ (state >> 30)) * 0xbf58476d1ce4e5b9u;
    mixed ^= mixed >> 27;
    out[i] = static_cast<unsigned char>(mixed >> 32);
  }
  return 1;
}
int always() { return 1; }

const RAND_METHOD kMethod{nullptr, fill, nullptr, nullptr, fill, always};

}  // namespace

void restart_random() {
  static const bool installed = RAND_set_rand_method(&kMethod) == 1;
  static_cast<void>(installed);
  state = 1;
}

}  // namespace mezite::fuzz
