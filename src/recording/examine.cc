#include "recording/examine.hh"

#include <algorithm>

#include "base/text.hh"

namespace mezite::recording {

Pieces pieces_of(BulkFile& file, std::uint64_t size) {
  return [&file, size, at = std::uint64_t{0}]() mutable -> Result<BytesView> {
    if (at == size) return BytesView();
    MEZ_TRY(BytesView piece, file.read(at));
    if (piece.empty()) return fail(ErrorCode::kIo, "a recording became shorter while it was read");
    piece = piece.first(static_cast<std::size_t>(std::min<std::uint64_t>(piece.size(), size - at)));
    at += piece.size();
    return piece;
  };
}

Status HashedReading::refill() {
  if (error_) return std::unexpected(*error_);
  rest_ = {};
  auto piece = pieces_();
  if (!piece) {
    error_ = piece.error();
    return std::unexpected(*error_);
  }
  rest_ = *piece;
  hasher_.update(rest_);
  return {};
}

Result<std::size_t> HashedReading::read(std::span<std::uint8_t> buffer) {
  if (rest_.empty()) MEZ_CHECK(refill());
  const std::size_t size = std::min(buffer.size(), rest_.size());
  std::copy_n(rest_.begin(), size, buffer.begin());
  rest_ = rest_.subspan(size);
  return size;
}

Result<Bytes> HashedReading::finish() {
  do {
    MEZ_CHECK(refill());
  } while (!rest_.empty());
  return hasher_.finish();
}

namespace {

// Verifies the header, and notes what it says and what is wrong with it.
std::optional<Reader> open_header(HashedReading& reading, const Origin& origin, Examined& examined) {
  ReadOptions options{.chain_key = {}, .identity = nullptr, .content = ReadOptions::Content::kWhatOpens};
  options.chain_key = [&](const Header& header) -> Result<Secret> {
    examined.header = header;  // its sum agrees, whatever its tag does
    if (origin.hub == nullptr) return Secret();
    auto key = open_chain_key(header.chain_key, *origin.hub, header.session_id);
    if (key) return key;
    examined.unopened = key.error().message;
    return Secret();  // what its sums say is worth knowing still
  };
  auto reader = Reader::open(reading.pull(), options);
  if (!reader) {
    examined.problem = reader.error().message;
    return std::nullopt;
  }
  if (origin.announced != nullptr && reader->header() != *origin.announced) {
    examined.problem = "the recording was rewritten: its header is not the one with which its upload began";
  }
  if (!origin.chain_id.empty() && origin.chain_id != chain_id(reader->header())) {
    examined.problem = std::string(kReplaced);
  }
  return std::move(*reader);
}

}  // namespace

Result<Examined> examine(Pieces pieces, const Origin& origin) {
  Examined examined;
  HashedReading reading(std::move(pieces));
  if (auto reader = open_header(reading, origin, examined)) {
    if (const auto verified = verify(*reader)) {
      examined.verified = *verified;
    } else {
      examined.problem = verified.error().message;
    }
  }
  MEZ_TRY(examined.sha256, reading.finish());
  return examined;
}

Result<Examined> examine_header(Pieces pieces, const Origin& origin) {
  Examined examined;
  HashedReading reading(std::move(pieces));
  (void)open_header(reading, origin, examined);
  MEZ_CHECK(reading.status());
  return examined;
}

Result<std::string> hash_of_file(const std::filesystem::path& path) {
  MEZ_TRY(BulkFile file, BulkFile::open(path));
  MEZ_TRY(const std::uint64_t size, file.size());
  MEZ_TRY(const Bytes sha256, HashedReading(pieces_of(file, size)).finish());
  return to_hex(sha256);
}

}  // namespace mezite::recording
