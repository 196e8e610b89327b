#include "auth/config.hh"

#include <stdlib.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <thread>

#include "auth/config_file.hh"
#include "auth/config_keys.hh"
#include "base/file.hh"
#include "base/text.hh"

namespace mezite::auth {
namespace {

constexpr std::size_t kMaxFileBytes = 1 << 20;

std::string host_name() {
  utsname name{};
  std::string host = uname(&name) == 0 ? name.nodename : "localhost";
  for (char& c : host) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
    bool plain = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.';
    if (!plain) c = '-';
  }
  while (!host.empty() && (host.front() == '-' || host.front() == '.')) host.erase(0, 1);
  while (!host.empty() && (host.back() == '-' || host.back() == '.')) host.pop_back();
  return host.empty() ? "localhost" : host;
}

// The defaults that depend on the machine; all others are in the table as text.
std::string default_value(const ConfigKey& key) {
  if (key.name == "cluster_name") return host_name();
  if (key.name == "proxy.public_addr") return host_name() + ":3080";
  if (key.name == "proxy.oidc_issuer_url") return "";
  if (key.name == "database.pool_size") {
    return std::to_string(std::clamp(2 * std::thread::hardware_concurrency(), 1U, 256U));
  }
  return key.default_text;
}

std::string join_items(const RawValue& value) { return join(value.items, ","); }

Status apply(Config& config, const ConfigKey& key, const RawValue& value, const std::string& where) {
  if (key.sensitivity == Sensitivity::kSecret) {
    for (const std::string& item : value.items) {
      if (item.size() > 4096) return fail(ErrorCode::kInvalidArgument, "{}: longer than 4096 characters", where);
    }
  }
  if (Status set = key.set(config, value); !set) {
    return fail(ErrorCode::kInvalidArgument, "{}: {}; {}", where, set.error().message, key.accepted);
  }
  config.written[key.name] = std::hash<std::string>()(join_items(value));
  if (key.honoured.empty()) return {};
  std::string text = join_items(value);
  if (text == default_value(key)) return {};
  if (std::find(key.honoured.begin(), key.honoured.end(), text) != key.honoured.end()) return {};
  std::string shown = key.sensitivity == Sensitivity::kSecret ? "this" : printable(text);
  std::string instead = "remove it";
  if (key.honoured.front() != "") instead = "use " + join(key.honoured, " or ");
  return fail(ErrorCode::kInvalidArgument, "{}: {} is not supported by this version; {}", where, shown, instead);
}

Status apply_environment(Config& config, const ConfigKey& key, const Environment& environment) {
  std::optional<std::string> found;
  std::string found_in;
  for (const std::string& variable : key.variables) {
    std::optional<std::string> value = environment(variable);
    if (!value || value->empty()) continue;  // an empty variable is how a shell says "not set"
    if (found && *found != *value) {
      return fail(ErrorCode::kInvalidArgument, "{} and {} are both set and differ; keep {}", found_in, variable,
                  found_in);
    }
    found = std::move(value);
    if (found_in.empty()) found_in = variable;
  }
  if (!found) return {};
  RawValue value;
  if (key.takes_list) {
    value.is_list = true;
    for (std::string_view piece : split(*found, ',')) value.items.emplace_back(trim(piece));
  } else {
    value.items.push_back(*found);
  }
  return apply(config, key, value, fmt::format("{} ({})", found_in, key.name));
}

// What no single key can know.
Status check_together(const Config& config) {
  if (config.recording.backend == RecordingBackend::kS3 && config.recording.s3_bucket.empty()) {
    return fail(ErrorCode::kInvalidArgument, "recording.backend is s3, but recording.s3.bucket is not set");
  }
  if (!config.recording.s3_kms_key_id.empty() && config.recording.s3_encryption != S3Encryption::kKms) {
    return fail(ErrorCode::kInvalidArgument,
                "recording.s3.kms_key_id is set; set recording.s3.encryption to aws:kms as well");
  }
  if (!config.proxy.enabled) return {};
  struct Listener {
    std::string_view key;
    const HostPort& address;
  };
  const Listener listeners[] = {{"auth.listen_addr", config.auth.listen_addr},
                                {"proxy.listen_addr", config.proxy.listen_addr},
                                {"proxy.ssh_listen_addr", config.proxy.ssh_listen_addr},
                                {"proxy.tunnel_listen_addr", config.proxy.tunnel_listen_addr}};
  for (const Listener& a : listeners) {
    for (const Listener& b : listeners) {
      if (&a < &b && a.address.port != 0 && a.address == b.address) {
        return fail(ErrorCode::kInvalidArgument, "{} and {} are both {}; give each its own port", a.key, b.key,
                    a.address.text());
      }
    }
  }
  return {};
}

}  // namespace

std::string_view name_of(RecordingMode mode) {
  switch (mode) {
    case RecordingMode::kNode: return "node";
    case RecordingMode::kNodeSync: return "node-sync";
    case RecordingMode::kProxy: return "proxy";
    case RecordingMode::kOff: return "off";
  }
  return "node";
}

std::string_view name_of(RecordingBackend backend) { return backend == RecordingBackend::kS3 ? "s3" : "local"; }

std::string Config::redacted_dsn() const { return "sqlite:" + database_path().string(); }

Environment process_environment() {
  return [](std::string_view name) -> std::optional<std::string> {
    const char* value = ::secure_getenv(std::string(name).c_str());
    if (value == nullptr) return std::nullopt;
    return std::string(value);
  };
}

Result<Config> load_config(const std::optional<std::filesystem::path>& file, const Environment& environment) {
  Config config;
  for (const ConfigKey& key : config_keys()) {
    std::string value = default_value(key);
    if (value.empty()) continue;
    if (Status set = key.set(config, RawValue{{value}, false}); !set) {
      return fail(ErrorCode::kInternal, "{}: the default does not parse: {}", key.name, set.error().message);
    }
  }
  std::filesystem::path path = file.value_or(std::filesystem::path(kDefaultConfigFile));
  std::error_code ignored;
  if (file || std::filesystem::exists(path, ignored)) {
    Result<Bytes> content = read_file(path, kMaxFileBytes);
    if (!content) {
      return fail(ErrorCode::kInvalidArgument, "cannot read the configuration {}: {}; name another with --config=FILE",
                  printable(path.string()), content.error().message);
    }
    std::string name = printable(path.string());
    MEZ_TRY(std::vector<FileEntry> entries, parse_config_file(as_text(*content), name));
    for (const FileEntry& entry : entries) {
      MEZ_CHECK(apply(config, *find_config_key(entry.name), entry.value,
                      fmt::format("{}:{}: {}", name, entry.line, entry.name)));
    }
  }
  for (const ConfigKey& key : config_keys()) MEZ_CHECK(apply_environment(config, key, environment));
  MEZ_CHECK(check_together(config));
  if (config.proxy.oidc_issuer_url.empty()) {
    config.proxy.oidc_issuer_url = "https://" + config.proxy.public_addr.text();
  }
  return config;
}

std::vector<std::string> changed_keys(const Config& before, const Config& after) {
  std::vector<std::string> changed;
  for (const ConfigKey& key : config_keys()) {
    auto a = before.written.find(key.name), b = after.written.find(key.name);
    bool there = a != before.written.end(), still = b != after.written.end();
    if (there != still || (there && a->second != b->second)) changed.push_back(key.name);
  }
  return changed;
}

std::vector<std::string> unknown_variables(const std::vector<std::string>& names) {
  // Those of mezd, mezctl, msh, of the build and of the tests.
  static constexpr std::string_view kOthers[] = {
      "MEZITE_AUTH_ADDR",   "MEZITE_PROXY_ADDR",    "MEZITE_TLS_WRAP",
      "MEZITE_TLS_CA_FILE", "MEZITE_JOIN_METHOD",   "MEZITE_JOIN_TOKEN",
      "MEZITE_CA_PIN",      "MEZITE_NODE_NAME",     "MEZITE_LABELS",
      "MEZITE_AUTH_TOKEN",  "MEZITE_AUTH_SERVER",   "MEZITE_ADMIN_SOCKET",
      "MEZITE_BIN",         "MEZITE_TEST_PATIENCE", "MEZITE_ENHANCED_RECORDING"};
  std::vector<std::string> unknown;
  for (const std::string& name : names) {
    if (!name.starts_with("MEZITE_")) continue;
    if (std::find(std::begin(kOthers), std::end(kOthers), name) != std::end(kOthers)) continue;
    bool known = std::any_of(config_keys().begin(), config_keys().end(), [&](const ConfigKey& key) {
      return std::find(key.variables.begin(), key.variables.end(), name) != key.variables.end();
    });
    if (!known) unknown.push_back(name);
  }
  return unknown;
}

std::string config_reference() {
  std::string text =
      "# Configuration of mezhub\n\n"
      "<!-- Generated by `mezhub --config-reference`; edit src/auth/config_keys.cc. -->\n\n"
      "`mezhub --config=FILE` reads YAML (default `/etc/mezite/mezite.yaml`). Each key may also be set by its "
      "variable,\n"
      "which wins over the file; an empty variable counts as unset, and a list is written with commas. An unknown key, "
      "a\n"
      "wrong type or a bad value stops the hub at start, with file, line, key and the accepted values. So does a "
      "value\n"
      "that this version cannot honour yet; such keys are marked.\n\n"
      "| key | variable | type | default | meaning |\n|---|---|---|---|---|\n";
  for (const ConfigKey& key : config_keys()) {
    std::string meaning = key.description;
    if (!key.honoured.empty()) {
      if (key.honoured.front() == "") {
        meaning += " *Not supported by this version.*";
      } else {
        meaning += fmt::format(" *This version supports only `{}`.*", join(key.honoured, "` and `"));
      }
    }
    text += fmt::format("| `{}` | `{}` | {} | {} | {} |\n", key.name, key.variables.front(), key.type,
                        key.default_text.empty() ? "unset" : key.default_text, meaning);
  }
  return text;
}

}  // namespace mezite::auth
