#include "base/bytes.hh"

namespace mezite {
namespace {

constexpr char kHex[] = "0123456789abcdef";
constexpr char kStandard[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
constexpr char kUrl[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

enum class Padding { kNo, kYes };

std::string encode64(BytesView bytes, const char* alphabet, Padding padding) {
  std::string out;
  out.reserve((bytes.size() + 2) / 3 * 4);
  std::uint32_t held = 0;
  unsigned held_bits = 0;
  for (std::uint8_t byte : bytes) {
    held = held << 8 | byte;
    held_bits += 8;
    while (held_bits >= 6) {
      held_bits -= 6;
      out.push_back(alphabet[held >> held_bits & 63]);
    }
  }
  if (held_bits != 0) out.push_back(alphabet[held << (6 - held_bits) & 63]);
  while (padding == Padding::kYes && out.size() % 4 != 0) out.push_back('=');
  return out;
}

Result<Bytes> decode64(std::string_view text, const char* alphabet) {
  std::array<std::int8_t, 256> value;
  value.fill(-1);
  for (int i = 0; i < 64; ++i) value[static_cast<std::uint8_t>(alphabet[i])] = static_cast<std::int8_t>(i);
  if (text.size() % 4 == 0 && text.ends_with("=="))
    text.remove_suffix(2);
  else if (text.size() % 4 == 0 && text.ends_with('='))
    text.remove_suffix(1);
  if (text.size() % 4 == 1) return fail(ErrorCode::kInvalidArgument, "base64 text has an impossible length");
  Bytes out;
  out.reserve(text.size() * 3 / 4);
  std::uint32_t held = 0;
  unsigned held_bits = 0;
  for (char c : text) {
    int v = value[static_cast<std::uint8_t>(c)];
    if (v < 0) return fail(ErrorCode::kInvalidArgument, "base64 text has a character outside the alphabet");
    held = held << 6 | static_cast<std::uint32_t>(v);
    held_bits += 6;
    if (held_bits >= 8) {
      held_bits -= 8;
      out.push_back(static_cast<std::uint8_t>(held >> held_bits));
    }
  }
  if ((held & ((1u << held_bits) - 1)) != 0) {
    return fail(ErrorCode::kInvalidArgument, "base64 text has stray bits at its end");
  }
  return out;
}

int hex_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

}  // namespace

std::string to_hex(BytesView bytes) {
  std::string out;
  out.reserve(bytes.size() * 2);
  for (std::uint8_t byte : bytes) {
    out.push_back(kHex[byte >> 4]);
    out.push_back(kHex[byte & 15]);
  }
  return out;
}

Result<Bytes> from_hex(std::string_view text) {
  if (text.size() % 2 != 0) return fail(ErrorCode::kInvalidArgument, "hexadecimal text has an odd length");
  Bytes out;
  out.reserve(text.size() / 2);
  for (std::size_t i = 0; i < text.size(); i += 2) {
    int high = hex_value(text[i]);
    int low = hex_value(text[i + 1]);
    if (high < 0 || low < 0) return fail(ErrorCode::kInvalidArgument, "not a hexadecimal digit");
    out.push_back(static_cast<std::uint8_t>(high << 4 | low));
  }
  return out;
}

std::string to_base64(BytesView bytes) { return encode64(bytes, kStandard, Padding::kYes); }
std::string to_base64_unpadded(BytesView bytes) { return encode64(bytes, kStandard, Padding::kNo); }
std::string to_base64url(BytesView bytes) { return encode64(bytes, kUrl, Padding::kNo); }
Result<Bytes> from_base64(std::string_view text) { return decode64(text, kStandard); }
Result<Bytes> from_base64url(std::string_view text) { return decode64(text, kUrl); }

bool equal_constant_time(BytesView a, BytesView b) {
  if (a.size() != b.size()) return false;
  volatile std::uint8_t difference = 0;
  for (std::size_t i = 0; i < a.size(); ++i) difference = static_cast<std::uint8_t>(difference | (a[i] ^ b[i]));
  return difference == 0;
}

}  // namespace mezite
