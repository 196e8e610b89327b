#include "audit/event.hh"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <optional>

#include "base/id.hh"
#include "base/text.hh"

namespace mezite::audit {

namespace {

using Json = nlohmann::json;

constexpr std::size_t kMaxDepth = 16;
constexpr std::size_t kMaxTextBytes = 8192;
constexpr std::size_t kCutTextBytes = 512;
constexpr std::size_t kMaxListItems = 256;

// Keys of the stored form, which belong to the chain.
constexpr std::array<std::string_view, 3> kChainKeys{"hmac", "hmac_key_id", "prev_hmac"};

// The parser takes any depth; what walks over the tree afterwards is recursive.
bool is_too_deep(std::string_view json, std::size_t max_depth) {
  std::size_t depth = 0;
  bool in_text = false;
  for (std::size_t i = 0; i < json.size(); ++i) {
    char c = json[i];
    if (in_text) {
      if (c == '\\') ++i;
      if (c == '"') in_text = false;
    } else if (c == '"') {
      in_text = true;
    } else if (c == '{' || c == '[') {
      if (++depth > max_depth) return true;
    } else if ((c == '}' || c == ']') && depth > 0) {
      --depth;
    }
  }
  return false;
}

std::optional<Json> parse_bounded(std::string_view text, std::size_t max_depth = kMaxDepth) {
  if (text.size() > kMaxEventJsonBytes || is_too_deep(text, max_depth)) return std::nullopt;
  Json parsed = Json::parse(text, nullptr, false);
  if (parsed.is_discarded()) return std::nullopt;
  return parsed;
}

std::string dump(const Json& value) { return value.dump(-1, ' ', false, Json::error_handler_t::replace); }

std::string canonical_details(std::string_view details) {
  if (details == "{}" || details.empty()) return "{}";
  auto parsed = parse_bounded(details, kMaxDepth - 1);  // they stand inside the event
  if (parsed && parsed->is_object()) return dump(*parsed);
  bool whole = details.size() <= kMaxTextBytes;
  return (whole ? "{\"text\":" : "{\"cut\":true,\"text\":") + json_quote(details.substr(0, kMaxTextBytes)) + "}";
}

// The members in the order of their names.
std::string write(const Event& event, std::string_view details) {
  std::string out = "{";
  auto key = [&](std::string_view name) {
    if (out.size() > 1) out += ',';
    out += '"';
    out += name;
    out += "\":";
  };
  auto text = [&](std::string_view name, std::string_view value) {
    key(name);
    out += json_quote(value);
  };
  text("client_ip", event.client_ip);
  text("cluster_name", event.cluster_name);
  key("details");
  out += details;
  text("error_message", event.error_message);
  text("event_code", event.event_code);
  text("event_type", event.event_type);
  text("id", event.id);
  text("impersonator", event.impersonator);
  key("resource_labels");
  out += '{';
  bool first = true;
  for (const auto& [name, value] : event.resource_labels) {
    if (!std::exchange(first, false)) out += ',';
    out += json_quote(name) + ':' + json_quote(value);
  }
  out += '}';
  text("resource_name", event.resource_name);
  text("resource_type", event.resource_type);
  text("server_hostname", event.server_hostname);
  text("server_id", event.server_id);
  text("session_id", event.session_id);
  key("success");
  out += event.success ? "true" : "false";
  text("timestamp", to_rfc3339(event.timestamp));
  text("user_name", event.user_name);
  key("user_roles");
  out += '[';
  first = true;
  for (const std::string& role : event.user_roles) {
    if (!std::exchange(first, false)) out += ',';
    out += json_quote(role);
  }
  return out + "]}";
}

// The texts of an event, and how long each may be: what is written is cut to it, what is longer is not taken.
struct TextField {
  const char* key;
  std::string* text;
  std::size_t max_bytes;
};

std::array<TextField, 13> texts_of(Event& event) {
  return {{{"client_ip", &event.client_ip, 128},
           {"cluster_name", &event.cluster_name, 256},
           {"error_message", &event.error_message, kMaxTextBytes},
           {"event_code", &event.event_code, 16},
           {"event_type", &event.event_type, 64},
           {"id", &event.id, 36},
           {"impersonator", &event.impersonator, 256},
           {"resource_name", &event.resource_name, kMaxTextBytes},
           {"resource_type", &event.resource_type, 64},
           {"server_hostname", &event.server_hostname, 256},
           {"server_id", &event.server_id, 128},
           {"session_id", &event.session_id, 128},
           {"user_name", &event.user_name, 1024}}};
}

void cut_text(std::string& text, std::size_t max_bytes) {
  if (text.size() <= max_bytes) return;
  while (max_bytes > 0 && (static_cast<unsigned char>(text[max_bytes]) & 0xc0) == 0x80) --max_bytes;
  text.resize(max_bytes);
}

void cut(Event& event) {
  for (const TextField& field : texts_of(event)) cut_text(*field.text, kCutTextBytes);
  event.resource_labels.clear();
  if (event.user_roles.size() > 16) event.user_roles.resize(16);
  for (std::string& role : event.user_roles) cut_text(role, 64);
  event.details = "{\"cut\":true}";
}

// What is not UTF-8 becomes U+FFFD, byte by byte.
void repair(std::string& text) {
  if (is_valid_utf8(text)) return;
  std::string out;
  for (std::string_view rest = text; !rest.empty();) {
    std::size_t size = 1;
    while (size <= 4 && size <= rest.size() && !is_valid_utf8(rest.substr(0, size))) ++size;
    bool good = size <= 4 && size <= rest.size();
    out += good ? rest.substr(0, size) : std::string_view("\xef\xbf\xbd");
    rest.remove_prefix(good ? size : 1);
  }
  text = std::move(out);
}

void repair(Event& event) {
  for (const TextField& field : texts_of(event)) {
    repair(*field.text);
    cut_text(*field.text, field.max_bytes);
  }
  if (event.user_roles.size() > kMaxListItems) event.user_roles.resize(kMaxListItems);
  for (std::string& role : event.user_roles) repair(role);
  decltype(event.resource_labels) labels;
  for (auto& [name, value] : event.resource_labels) {
    std::string key = name;
    repair(key);
    repair(value);
    if (labels.size() < kMaxListItems) labels[std::move(key)] = std::move(value);
  }
  event.resource_labels = std::move(labels);
}

bool is_uuid(std::string_view text) {
  if (text.size() != 36) return false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    bool dash = i == 8 || i == 13 || i == 18 || i == 23;
    bool hex = (text[i] >= '0' && text[i] <= '9') || (text[i] >= 'a' && text[i] <= 'f');
    if (dash ? text[i] != '-' : !hex) return false;
  }
  return true;
}

// Takes known members out of an object, remembering the first thing that is wrong.
class ObjectReader {
 public:
  explicit ObjectReader(const Json& object) : object_(object) {}

  void text(const char* name, std::string& out, std::size_t max_bytes) {
    const Json* value = take(name);
    if (value == nullptr) return;
    if (!value->is_string() || value->get_ref<const std::string&>().size() > max_bytes) {
      wrong(name, fmt::format("not a text of at most {} bytes", max_bytes));
      return;
    }
    out = value->get_ref<const std::string&>();
  }

  void truth(const char* name, bool& out) {
    const Json* value = take(name);
    if (value == nullptr) return;
    if (!value->is_boolean()) return wrong(name, "not true or false");
    out = value->get<bool>();
  }

  void texts(const char* name, std::vector<std::string>& out) {
    const Json* value = take(name);
    if (value == nullptr) return;
    if (!value->is_array() || value->size() > kMaxListItems) return wrong(name, "not a list of texts");
    for (const Json& item : *value) {
      if (!item.is_string()) return wrong(name, "not a list of texts");
      out.push_back(item.get_ref<const std::string&>());
    }
  }

  void texts_by_name(const char* name, std::map<std::string, std::string, std::less<>>& out) {
    const Json* value = take(name);
    if (value == nullptr) return;
    if (!value->is_object() || value->size() > kMaxListItems) return wrong(name, "not an object of texts");
    for (const auto& [key, item] : value->items()) {
      if (!item.is_string()) return wrong(name, "not an object of texts");
      out[key] = item.get_ref<const std::string&>();
    }
  }

  void object(const char* name, std::string& out) {
    const Json* value = take(name);
    if (value == nullptr) return;
    if (!value->is_object()) return wrong(name, "not an object");
    out = dump(*value);
  }

  void wrong(std::string_view name, std::string_view what) {
    if (problem_.empty()) problem_ = fmt::format("{}: {}", printable(name.substr(0, 64)), what);
  }

  Status finish() {
    for (const auto& [key, value] : object_.items()) {
      bool known = std::ranges::find(taken_, key) != taken_.end() ||
                   std::ranges::find(kChainKeys, std::string_view(key)) != kChainKeys.end();
      if (!known) wrong(key, "unknown key");
    }
    if (problem_.empty()) return {};
    return fail(ErrorCode::kInvalidArgument, "not an audit event: {}", problem_);
  }

 private:
  const Json* take(const char* name) {
    taken_.emplace_back(name);
    auto found = object_.find(name);
    return found == object_.end() ? nullptr : &*found;
  }
  const Json& object_;
  std::vector<std::string> taken_;
  std::string problem_;
};

}  // namespace

Event make_event(EventKind kind, const Clock& clock) {
  const EventInfo& about = info(kind);
  Event event;
  event.id = new_uuid();
  event.event_type = about.type;
  event.event_code = about.code;
  event.timestamp = clock.now();
  event.success = about.code.ends_with('I');
  return event;
}

CanonicalEvent canonicalize(Event event) {
  repair(event);
  event.details = canonical_details(event.details);
  event.timestamp = from_unix_millis(to_unix_millis(event.timestamp));
  std::string json = write(event, event.details);
  if (json.size() > kMaxEventJsonBytes) {
    cut(event);
    repair(event);
    json = write(event, event.details);
  }
  return {.event = std::move(event), .json = std::move(json)};
}

std::string to_canonical_json(const Event& event) { return canonicalize(event).json; }

Result<Event> event_from_json(std::string_view json) {
  if (json.size() > kMaxEventJsonBytes) {
    return fail(ErrorCode::kInvalidArgument, "not an audit event: {} bytes, over {}", json.size(), kMaxEventJsonBytes);
  }
  auto parsed = parse_bounded(json);
  if (!parsed || !parsed->is_object()) {
    return fail(ErrorCode::kInvalidArgument, "not an audit event: not a JSON object, or too deep");
  }
  Event event;
  std::string timestamp;
  ObjectReader reader(*parsed);
  for (const TextField& field : texts_of(event)) reader.text(field.key, *field.text, field.max_bytes);
  reader.object("details", event.details);
  reader.texts_by_name("resource_labels", event.resource_labels);
  reader.truth("success", event.success);
  reader.text("timestamp", timestamp, 64);
  reader.texts("user_roles", event.user_roles);
  if (!is_uuid(event.id)) reader.wrong("id", "not a UUID in lower case");
  const EventInfo* about = find_code(event.event_code);
  if (about == nullptr || about->type != event.event_type) {
    reader.wrong("event_code", "with event_type not in the catalogue (docs/audit-events.md)");
  }
  if (auto time = parse_rfc3339(timestamp)) {
    event.timestamp = from_unix_millis(to_unix_millis(*time));
  } else {
    reader.wrong("timestamp", "not an RFC 3339 time");
  }
  MEZ_CHECK(reader.finish());
  return event;
}

std::string& Details::key(std::string_view name) {
  if (!members_.empty()) members_ += ',';
  members_ += json_quote(name);
  members_ += ':';
  return members_;
}

Details& Details::add(std::string_view name, std::string_view value) {
  key(name) += json_quote(value);
  return *this;
}

Details& Details::add(std::string_view name, std::int64_t value) {
  key(name) += std::to_string(value);
  return *this;
}

Details& Details::add(std::string_view name, bool value) {
  key(name) += value ? "true" : "false";
  return *this;
}

Details& Details::add(std::string_view name, const std::vector<std::string>& values) {
  std::string& out = key(name);
  out += '[';
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (i > 0) out += ',';
    out += json_quote(values[i]);
  }
  out += ']';
  return *this;
}

}  // namespace mezite::audit
