#include "aws/sigv4.hh"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <ctime>

#include "base/ascii.hh"
#include "base/text.hh"
#include "crypto/hash.hh"

namespace mezite::aws {
namespace {

constexpr std::string_view kAlgorithm = "AWS4-HMAC-SHA256";
constexpr std::array kNotSigned{std::string_view("authorization"), std::string_view("expect"),
                                std::string_view("transfer-encoding"), std::string_view("user-agent"),
                                std::string_view("x-amzn-trace-id")};

// "20130524T000000Z"
std::string stamp(SystemTime now) {
  const auto seconds = static_cast<std::time_t>(to_unix_seconds(now));
  std::tm parts{};
  ::gmtime_r(&seconds, &parts);
  return fmt::format("{:04}{:02}{:02}T{:02}{:02}{:02}Z", parts.tm_year + 1900, parts.tm_mon + 1, parts.tm_mday,
                     parts.tm_hour, parts.tm_min, parts.tm_sec);
}

// Without spaces around it, and with single ones inside.
std::string squeezed(std::string_view value) {
  std::string out;
  bool gap = false;
  for (char c : value) {
    if (c == ' ' || c == '\t') {
      gap = true;
      continue;
    }
    if (gap && !out.empty()) out += ' ';
    gap = false;
    out += c;
  }
  return out;
}

// RFC 3986 §5.2.4, and no empty segments; a slash at the end stays.
std::string normalized(std::string_view path) {
  std::vector<std::string_view> kept;
  for (std::string_view segment : split(path, '/')) {
    if (segment.empty() || segment == ".") continue;
    if (segment == "..") {
      if (!kept.empty()) kept.pop_back();
    } else {
      kept.push_back(segment);
    }
  }
  std::string out;
  for (std::string_view segment : kept) out.append("/").append(segment);
  if (out.empty() || path.back() == '/') out += '/';
  return out;
}

std::string encoded_query(const Request& request) {
  std::vector<std::pair<std::string, std::string>> pairs;
  for (const auto& [name, value] : request.query) {
    pairs.emplace_back(percent_encode(name, Slashes::kEncode), percent_encode(value, Slashes::kEncode));
  }
  std::ranges::sort(pairs);
  std::string out;
  for (const auto& [name, value] : pairs) {
    if (!out.empty()) out += '&';
    out.append(name).append("=").append(value);
  }
  return out;
}

struct HeaderBlock {
  std::string canonical;  // "name:value\n" each
  std::string names;      // "host;x-amz-date"
};

HeaderBlock header_block(const net::http::Headers& headers) {
  std::vector<std::pair<std::string, std::string>> fields;
  for (const auto& [given, value] : headers.all()) {
    std::string name = lower(given);
    if (std::ranges::find(kNotSigned, name) != kNotSigned.end()) continue;
    auto same = std::ranges::find(fields, name, &std::pair<std::string, std::string>::first);
    if (same == fields.end()) {
      fields.emplace_back(std::move(name), squeezed(value));
    } else {
      same->second += ',' + squeezed(value);
    }
  }
  std::ranges::sort(fields);
  HeaderBlock out;
  for (const auto& [name, value] : fields) {
    out.canonical += name + ':' + value + '\n';
    if (!out.names.empty()) out.names += ';';
    out.names += name;
  }
  return out;
}

Secret hmac(BytesView key, std::string_view data) { return Secret(crypto::hmac_sha256(key, as_bytes(data))); }

Secret signing_key(const Credentials& credentials, std::string_view day, const SigningScope& scope) {
  Secret first(std::string_view("AWS4"));
  first.append(credentials.secret_access_key.view());
  Secret key = hmac(first.view(), day);
  for (std::string_view part :
       {std::string_view(scope.region), std::string_view(scope.service), std::string_view("aws4_request")}) {
    key = hmac(key.view(), part);
  }
  return key;
}

std::string hex_sha256(std::string_view text) { return to_hex(crypto::sha256(as_bytes(text))); }

std::string scope_text(std::string_view day, const SigningScope& scope) {
  return fmt::format("{}/{}/{}/aws4_request", day, scope.region, scope.service);
}

bool is_plain(std::string_view text) {
  return std::ranges::none_of(text, [](char c) { return (c >= 0 && c < 0x20 && c != '\t') || c == 0x7f; });
}

}  // namespace

Credentials Credentials::clone() const {
  return {access_key_id, secret_access_key.clone(), session_token.clone(), expires_at, source};
}

std::string payload_hash(BytesView body) { return to_hex(crypto::sha256(body)); }

std::string percent_encode(std::string_view text, Slashes slashes) {
  constexpr std::string_view kDigits = "0123456789ABCDEF";
  std::string out;
  for (char c : text) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
                       c == '.' || c == '_' || c == '~' || (c == '/' && slashes == Slashes::kKeep);
    if (plain) {
      out += c;
      continue;
    }
    const auto byte = static_cast<std::uint8_t>(c);
    out += '%';
    out += kDigits[byte >> 4];
    out += kDigits[byte & 15];
  }
  return out;
}

Result<Signed> sign(const Request& request, std::string_view payload, const Credentials& credentials,
                    const SigningScope& scope, SystemTime now) {
  if (!request.path.starts_with('/')) {
    return fail(ErrorCode::kInvalidArgument, "'{}' is not a path", printable(request.path));
  }
  for (const auto& [name, value] : request.headers.all()) {
    if (name.empty() || !is_plain(name) || !is_plain(value)) {
      return fail(ErrorCode::kInvalidArgument, "a header has a forbidden character");
    }
  }
  const bool s3 = request.path_style == PathStyle::kS3;
  Signed out;
  const std::string path = percent_encode(request.path, Slashes::kKeep);
  const std::string query = encoded_query(request);
  out.target = query.empty() ? path : path + '?' + query;
  out.headers = request.headers;
  const std::string date = stamp(now);
  const std::string day = date.substr(0, 8);
  out.headers.set("Host", request.host);
  out.headers.set("X-Amz-Date", date);
  if (s3) out.headers.set("X-Amz-Content-Sha256", std::string(payload));
  if (!credentials.session_token.empty()) {
    out.headers.set("X-Amz-Security-Token", std::string(credentials.session_token.text()));
  }
  const HeaderBlock block = header_block(out.headers);
  out.canonical_request = fmt::format("{}\n{}\n{}\n{}\n{}\n{}", request.method,
                                      s3 ? path : percent_encode(normalized(path), Slashes::kKeep), query,
                                      block.canonical, block.names, payload);
  const std::string where = scope_text(day, scope);
  const std::string to_sign = fmt::format("{}\n{}\n{}\n{}", kAlgorithm, date, where, hex_sha256(out.canonical_request));
  const Secret key = signing_key(credentials, day, scope);
  out.signature = to_hex(crypto::hmac_sha256(key.view(), as_bytes(to_sign)));
  out.headers.set("Authorization", fmt::format("{} Credential={}/{}, SignedHeaders={}, Signature={}", kAlgorithm,
                                               credentials.access_key_id, where, block.names, out.signature));
  return out;
}

ChunkSigner::ChunkSigner(const Signed& request, const Credentials& credentials, SigningScope scope, SystemTime now)
    : date_(stamp(now)), previous_(request.signature) {
  const std::string day = date_.substr(0, 8);
  key_ = signing_key(credentials, day, scope);
  scope_ = scope_text(day, scope);
}

Bytes ChunkSigner::frame(BytesView data) {
  const std::string to_sign = fmt::format("{}-PAYLOAD\n{}\n{}\n{}\n{}\n{}", kAlgorithm, date_, scope_, previous_,
                                          hex_sha256(""), payload_hash(data));
  previous_ = to_hex(crypto::hmac_sha256(key_.view(), as_bytes(to_sign)));
  Bytes out = to_bytes(std::string_view(fmt::format("{:x};chunk-signature={}\r\n", data.size(), previous_)));
  out.reserve(out.size() + data.size() + 2);
  out.insert(out.end(), data.begin(), data.end());
  out.push_back('\r');
  out.push_back('\n');
  return out;
}

std::uint64_t ChunkSigner::framed_size(std::uint64_t body_bytes, std::uint64_t chunk_bytes) {
  // size, ";chunk-signature=", 64 digits, and the two line ends
  const auto one = [](std::uint64_t size) { return fmt::formatted_size("{:x}", size) + 17 + 64 + 4 + size; };
  const std::uint64_t rest = body_bytes % chunk_bytes;
  return body_bytes / chunk_bytes * one(chunk_bytes) + (rest > 0 ? one(rest) : 0) + one(0);
}

}  // namespace mezite::aws
