#include "recording/header.hh"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>

#include "base/text.hh"

namespace mezite::recording {
namespace {

constexpr std::size_t kMaxNameBytes = 256;
constexpr std::size_t kMaxCommandBytes = 32 * 1024;

// Cuts at a limit without leaving half a character, and makes it UTF-8.
std::string clipped(std::string_view text, std::size_t limit) {
  if (text.size() > limit) {
    while (limit > 0 && (static_cast<unsigned char>(text[limit]) & 0xc0) == 0x80) --limit;
    text = text.substr(0, limit);
  }
  if (is_valid_utf8(text)) return std::string(text);
  std::string clean;
  for (const char c : text) {
    if (static_cast<unsigned char>(c) < 0x80) {
      clean += c;
    } else {
      // Byte by byte: a text that is broken anywhere loses all its non-ASCII characters, and never grows past its
      // limit.
      clean += '?';
    }
  }
  return clean;
}

Status read_text(const nlohmann::json& json, const char* key, std::size_t limit, std::string& out) {
  const auto found = json.find(key);
  if (found == json.end()) return {};
  if (!found->is_string()) return fail(ErrorCode::kCorrupt, "the recording's header has a '{}' that is not text", key);
  const auto& text = found->get_ref<const std::string&>();
  if (text.size() > limit) {
    return fail(ErrorCode::kCorrupt, "the recording's header has a '{}' over {} bytes", key, limit);
  }
  out = text;
  return {};
}

Status read_size(const nlohmann::json& json, const char* key, std::uint16_t& out) {
  const auto found = json.find(key);
  if (found == json.end()) return {};
  if (!found->is_number_unsigned() || found->get<std::uint64_t>() > 0xffff) {
    return fail(ErrorCode::kCorrupt, "the recording's header has a '{}' that is not a size", key);
  }
  out = static_cast<std::uint16_t>(found->get<std::uint64_t>());
  return {};
}

constexpr std::string_view kCipher = "x25519-hkdf-sha256+aes-256-gcm";

nlohmann::ordered_json key_to_json(const SealedKey& key) {
  return {
      {"recipient", to_text(key.recipient)}, {"ephemeral", to_base64(key.ephemeral)}, {"key", to_base64(key.sealed)}};
}

nlohmann::ordered_json encryption_to_json(const std::vector<SealedKey>& keys) {
  nlohmann::ordered_json recipients = nlohmann::ordered_json::array();
  for (const SealedKey& key : keys) recipients.push_back(key_to_json(key));
  return {{"cipher", kCipher}, {"recipients", std::move(recipients)}};
}

std::string text_of(const nlohmann::json& json, const char* name) {
  if (!json.is_object()) return {};
  const auto at = json.find(name);
  return at != json.end() && at->is_string() ? at->get<std::string>() : std::string();
}

std::optional<SealedKey> read_key(const nlohmann::json& json) {
  SealedKey key;
  const auto recipient = parse_recipient(text_of(json, "recipient"));
  const auto ephemeral = from_base64(text_of(json, "ephemeral"));
  auto sealed = from_base64(text_of(json, "key"));
  if (!recipient || !ephemeral || ephemeral->size() != key.ephemeral.size() || !sealed || sealed->size() > 256) {
    return std::nullopt;
  }
  key.recipient = *recipient;
  std::ranges::copy(*ephemeral, key.ephemeral.begin());
  key.sealed = std::move(*sealed);
  return key;
}

Status read_encryption(const nlohmann::json& json, std::vector<SealedKey>& out) {
  const auto found = json.find("encryption");
  if (found == json.end()) return {};
  if (text_of(*found, "cipher") != kCipher) {
    return fail(ErrorCode::kCorrupt, "the recording is encrypted in a way that this program does not know");
  }
  const auto recipients = found->find("recipients");
  if (recipients == found->end() || !recipients->is_array() || recipients->empty() ||
      recipients->size() > kMaxRecipients) {
    return fail(ErrorCode::kCorrupt, "the recording's header has no list of 1 to {} recipients", kMaxRecipients);
  }
  for (const auto& one : *recipients) {
    auto key = read_key(one);
    if (!key) return fail(ErrorCode::kCorrupt, "the recording's header has a recipient that is none");
    out.push_back(std::move(*key));
  }
  return {};
}

}  // namespace

std::string_view to_text(SessionKind kind) { return kind == SessionKind::kPty ? "pty" : "exec"; }

std::string chain_id(const Header& header) { return to_base64(header.chain_key.ephemeral); }

bool is_session_id(std::string_view text) {
  if (text.size() != 36) return false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    const bool dash = i == 8 || i == 13 || i == 18 || i == 23;
    if (dash ? c != '-' : !((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'))) return false;
  }
  return true;
}

std::string header_to_json(const Header& header) {
  nlohmann::ordered_json json{
      {"version", 2},
      {"session_id", clipped(header.session_id, 36)},
      {"cluster_name", clipped(header.cluster_name, kMaxNameBytes)},
      {"user", clipped(header.user, kMaxNameBytes)},
      {"login", clipped(header.login, kMaxNameBytes)},
      {"node", clipped(header.node, kMaxNameBytes)},
      {"node_id", clipped(header.node_id, kMaxNameBytes)},
      {"client_address", clipped(header.client_address, kMaxNameBytes)},
      {"kind", to_text(header.kind)},
      {"command", clipped(header.command, kMaxCommandBytes)},
      {"started_at", to_rfc3339(header.started_at)},
      {"columns", header.columns},
      {"rows", header.rows},
      {"chain", key_to_json(header.chain_key)},
  };
  if (header.is_encrypted()) json["encryption"] = encryption_to_json(header.keys);
  return json.dump(-1, ' ', true, nlohmann::ordered_json::error_handler_t::replace);
}

Result<Header> parse_header(std::string_view text) {
  if (text.size() > kMaxHeaderBytes * 4) return fail(ErrorCode::kCorrupt, "the recording's header is too long");
  // A callback-free parse keeps its own stack on the heap; depth is bounded by the check below.
  if (std::ranges::count(text, '[') + std::ranges::count(text, '{') > 256) {
    return fail(ErrorCode::kCorrupt, "the recording's header is not JSON that Mezite writes");
  }
  const auto json = nlohmann::json::parse(text, nullptr, false);
  if (!json.is_object()) return fail(ErrorCode::kCorrupt, "the recording's header is not a JSON object");
  Header header;
  std::string kind, started_at;
  if (const auto version = json.find("version"); version == json.end() || *version != 2) {
    return fail(ErrorCode::kCorrupt, "the recording's header has a version that this program does not know");
  }
  MEZ_CHECK(read_text(json, "session_id", 36, header.session_id));
  MEZ_CHECK(read_text(json, "cluster_name", kMaxNameBytes, header.cluster_name));
  MEZ_CHECK(read_text(json, "user", kMaxNameBytes, header.user));
  MEZ_CHECK(read_text(json, "login", kMaxNameBytes, header.login));
  MEZ_CHECK(read_text(json, "node", kMaxNameBytes, header.node));
  MEZ_CHECK(read_text(json, "node_id", kMaxNameBytes, header.node_id));
  MEZ_CHECK(read_text(json, "client_address", kMaxNameBytes, header.client_address));
  MEZ_CHECK(read_text(json, "kind", 16, kind));
  MEZ_CHECK(read_text(json, "command", kMaxCommandBytes, header.command));
  MEZ_CHECK(read_text(json, "started_at", 64, started_at));
  MEZ_CHECK(read_size(json, "columns", header.columns));
  MEZ_CHECK(read_size(json, "rows", header.rows));
  MEZ_CHECK(read_encryption(json, header.keys));
  const auto chain = json.find("chain");
  auto chain_key = chain == json.end() ? std::nullopt : read_key(*chain);
  if (!chain_key) return fail(ErrorCode::kCorrupt, "the recording's header has no key of its chain");
  header.chain_key = std::move(*chain_key);
  if (!is_session_id(header.session_id)) {
    return fail(ErrorCode::kCorrupt, "the recording's header has no session id (a UUID in lower case)");
  }
  if (kind != "pty" && kind != "exec") {
    return fail(ErrorCode::kCorrupt, "the recording's header has the kind '{}'; pty and exec are known",
                printable(kind));
  }
  header.kind = kind == "pty" ? SessionKind::kPty : SessionKind::kExec;
  auto started = parse_rfc3339(started_at);
  if (!started) return fail(ErrorCode::kCorrupt, "the recording's header has no start time");
  header.started_at = *started;
  return header;
}

}  // namespace mezite::recording
