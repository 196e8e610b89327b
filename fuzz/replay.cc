// fuzz_replay HARNESS FOLDER…: every file of the folders through the harness, whole and cut short, as an ordinary test.
// A harness that finds something aborts.
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#define HARNESS(name) extern "C" int name##_one_input(const std::uint8_t* data, std::size_t size);
#include "harness_list.inc"
#undef HARNESS

namespace {

using OneInput = int (*)(const std::uint8_t*, std::size_t);

OneInput find_harness(const char* wanted) {
#define HARNESS(name) \
  if (std::strcmp(wanted, #name) == 0) return name##_one_input;
#include "harness_list.inc"
#undef HARNESS
  return nullptr;
}

}  // namespace

int main(int argc, char** argv) {
  const OneInput harness = argc > 2 ? find_harness(argv[1]) : nullptr;
  if (!harness) {
    std::fprintf(stderr, "usage: fuzz_replay HARNESS FOLDER...\n");
    return 2;
  }
  std::size_t files = 0, runs = 0;
  for (int i = 2; i < argc; ++i) {
    std::error_code error;
    for (const auto& entry : std::filesystem::directory_iterator(argv[i], error)) {
      std::ifstream file(entry.path(), std::ios::binary);
      const std::vector<std::uint8_t> input{std::istreambuf_iterator<char>(file), {}};
      std::fprintf(stderr, "%s\n", entry.path().filename().c_str());  // the last one printed is the one that aborted
      ++files;
      // Cut at 16 places: most of what hostile peers send is something that ends too early.
      for (std::size_t cut = 1; cut <= 16; ++cut, ++runs) harness(input.data(), input.size() * cut / 16);
    }
    if (error) {
      std::fprintf(stderr, "fuzz_replay: %s: %s\n", argv[i], error.message().c_str());
      return 2;
    }
  }
  if (files == 0) {
    std::fprintf(stderr, "fuzz_replay: no seeds for %s\n", argv[1]);
    return 1;
  }
  std::printf("%s: %zu files, %zu runs\n", argv[1], files, runs);
  return 0;
}
