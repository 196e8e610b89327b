// Recordings, which agents upload and people replay. First byte: a whole recording, the header alone, or the key of a
// chain and a recording that is read with it.
#include <algorithm>
#include <cstdlib>

#include "recording/chain.hh"
#include "recording/header.hh"
#include "recording/reader.hh"

namespace {

using namespace mezite;
using namespace mezite::recording;

void expect(bool condition) {
  if (!condition) std::abort();
}

void file(BytesView input, const ReadOptions& options = {}) {
  std::size_t at = 0;
  auto reader = Reader::open(
      [&](std::span<std::uint8_t> buffer) -> Result<std::size_t> {
        const std::size_t size = std::min<std::size_t>({buffer.size(), input.size() - at, 509});
        std::copy_n(input.data() + at, size, buffer.data());
        at += size;
        return size;
      },
      options);
  if (!reader) return;
  for (;;) {
    const auto event = reader->next();
    if (!event || !*event) break;
  }
  expect(reader->valid_bytes() <= input.size());
}

void file_with_key(BytesView input) {
  if (input.size() < kChainKeyBytes) return;
  ReadOptions options;
  options.chain_key = [&](const Header&) -> Result<Secret> { return Secret(input.first(kChainKeyBytes)); };
  file(input.subspan(kChainKeyBytes), options);
}

void header(BytesView input) {
  const auto header = parse_header(as_text(input));
  if (!header) return;
  expect(is_session_id(header->session_id));
  // What is written has milliseconds only; from there on nothing changes.
  const auto once = parse_header(header_to_json(*header));
  expect(once.has_value() && once->session_id == header->session_id && once->command == header->command);
  const auto twice = parse_header(header_to_json(*once));
  expect(twice.has_value() && *twice == *once);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const BytesView input(data + 1, size - 1);
  switch (data[0] % 3) {
    case 0: file(input); break;
    case 1: header(input); break;
    default: file_with_key(input);
  }
  return 0;
}
