// floor WAY CIPHER MIB: the least that a server could spend on bytes: system calls and one cipher pass, no SSH.
//
// WAY is exec-down (pipe to socket), exec-up (socket to pipe), forward-down or forward-up (socket to socket); CIPHER is
// gcm (AES-256-GCM) or chacha (ChaCha20-Poly1305). Reads of 128 KiB, a seal or an open for each 32 KiB, one write of
// what came. Prints CPU seconds per GiB of this process alone; source and sink are processes of their own, on loopback.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/evp.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string_view>
#include <vector>

namespace {

constexpr std::size_t kReadBytes = 128 << 10;
constexpr std::size_t kPacketBytes = 32 << 10;

[[noreturn]] void give_up(const char* what) {
  std::perror(what);
  std::exit(1);
}

struct Pair {
  int near, far;
};

// near is the server's end, connected over loopback.
Pair tcp_pair() {
  const int listener = ::socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{.sin_family = AF_INET, .sin_port = 0, .sin_addr = {htonl(INADDR_LOOPBACK)}, .sin_zero = {}};
  socklen_t size = sizeof address;
  auto* where = reinterpret_cast<sockaddr*>(&address);
  if (::bind(listener, where, size) != 0 || ::listen(listener, 1) != 0 || ::getsockname(listener, where, &size) != 0)
    give_up("listen");
  const int far = ::socket(AF_INET, SOCK_STREAM, 0);
  if (::connect(far, where, size) != 0) give_up("connect");
  const int near = ::accept(listener, nullptr, nullptr);
  ::close(listener);
  const int on = 1;
  ::setsockopt(near, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  return {near, far};
}

enum class PipeEnd { kRead, kWrite };

Pair pipe_pair(PipeEnd near) {
  int ends[2];
  if (::pipe(ends) != 0) give_up("pipe");
  return near == PipeEnd::kRead ? Pair{ends[0], ends[1]} : Pair{ends[1], ends[0]};
}

void write_all(int fd, const std::uint8_t* bytes, std::size_t size) {
  while (size > 0) {
    const ssize_t n = ::write(fd, bytes, size);
    if (n <= 0) give_up("write");
    bytes += n;
    size -= static_cast<std::size_t>(n);
  }
}

template <class Work>
void in_child(const Pair& mine, const Pair& other, Work work) {
  if (::fork() != 0) {
    ::close(mine.far);
    return;
  }
  ::close(mine.near);
  ::close(other.near);
  ::close(other.far);
  work(mine.far);
  std::_Exit(0);
}

double cpu_seconds() {
  rusage used{};
  ::getrusage(RUSAGE_SELF, &used);
  const auto seconds = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) / 1e6;
  };
  return seconds(used.ru_utime) + seconds(used.ru_stime);
}

// One pass over each packet; that the bytes mean nothing costs the same.
void pass(EVP_CIPHER_CTX* context, std::uint8_t* bytes, std::size_t size) {
  std::uint8_t nonce[12] = {};
  std::uint8_t tag[16];
  int done = 0;
  if (EVP_CipherInit_ex(context, nullptr, nullptr, nullptr, nonce, -1) != 1 ||
      EVP_CipherUpdate(context, bytes, &done, bytes, static_cast<int>(size)) != 1) {
    give_up("cipher");
  }
  EVP_CipherFinal_ex(context, tag, &done);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) give_up("floor WAY CIPHER MIB");
  const std::string_view way = argv[1], cipher = argv[2];
  const std::size_t total = std::strtoul(argv[3], nullptr, 10) << 20;
  const bool down = way.ends_with("down"), forward = way.starts_with("forward");
  const Pair from = down && !forward ? pipe_pair(PipeEnd::kRead) : tcp_pair();
  const Pair to = down || forward ? tcp_pair() : pipe_pair(PipeEnd::kWrite);
  in_child(from, to, [&](int fd) {
    const std::vector<std::uint8_t> zeros(64 << 10);
    for (std::size_t left = total; left > 0; left -= zeros.size()) write_all(fd, zeros.data(), zeros.size());
  });
  in_child(to, from, [](int fd) {
    std::vector<std::uint8_t> taken(64 << 10);
    while (::read(fd, taken.data(), taken.size()) > 0) {
    }
  });

  EVP_CIPHER_CTX* context = EVP_CIPHER_CTX_new();
  const std::uint8_t key[32] = {};
  EVP_CipherInit_ex(context, cipher == "gcm" ? EVP_aes_256_gcm() : EVP_chacha20_poly1305(), nullptr, key, nullptr,
                    down ? 1 : 0);
  std::vector<std::uint8_t> buffer(kReadBytes);
  const double before = cpu_seconds();
  for (;;) {
    const ssize_t n = ::read(from.near, buffer.data(), buffer.size());
    if (n <= 0) break;
    const auto size = static_cast<std::size_t>(n);
    for (std::size_t at = 0; at < size; at += kPacketBytes)
      pass(context, buffer.data() + at, std::min(kPacketBytes, size - at));
    write_all(to.near, buffer.data(), size);
  }
  const double used = cpu_seconds() - before;
  ::close(to.near);
  while (::wait(nullptr) > 0) {
  }
  EVP_CIPHER_CTX_free(context);
  std::printf("%.3f\n", used / (static_cast<double>(total) / (1 << 30)));
}
