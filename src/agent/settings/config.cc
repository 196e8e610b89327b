#include "agent/settings/config.hh"

#include <fmt/format.h>
#include <sys/utsname.h>
#include <yaml-cpp/yaml.h>

#include <charconv>
#include <cstdlib>
#include <limits>
#include <set>

#include "base/clock.hh"
#include "base/file.hh"
#include "base/text.hh"

namespace mezite::agent {
namespace {

constexpr std::size_t kConfigLimitBytes = std::size_t{1} << 20;
constexpr std::size_t kMaxLabels = 64;
constexpr std::size_t kMaxLabelBytes = 256;

Result<net::HostPort> parse_target(std::string_view text, std::uint16_t default_port) {
  MEZ_TRY(net::HostPort target, net::parse_host_port(text, default_port));
  if (target.host.empty()) target.host = "localhost";
  if (target.port == 0) return fail(ErrorCode::kInvalidArgument, "port 0 can't be dialled");
  return target;
}

Result<std::uint64_t> parse_bytes(std::string_view text) {
  std::uint64_t value = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  std::string_view unit(end, static_cast<std::size_t>(text.data() + text.size() - end));
  unsigned shift = 0;
  if (unit == "KiB")
    shift = 10;
  else if (unit == "MiB")
    shift = 20;
  else if (unit == "GiB")
    shift = 30;
  else if (unit == "TiB")
    shift = 40;
  else if (!unit.empty())
    error = std::errc::invalid_argument;
  if (error != std::errc{} || value == 0 || value > (std::numeric_limits<std::uint64_t>::max() >> shift)) {
    return fail(ErrorCode::kInvalidArgument, "not a size");
  }
  return value << shift;
}

bool is_label_name(std::string_view name) {
  if (name.empty() || name.size() > kMaxLabelBytes) return false;
  for (char c : name) {
    bool fine = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '_' ||
                c == '/' || c == '-';
    if (!fine) return false;
  }
  return true;
}

bool is_plain_text(std::string_view text) { return text.size() <= kMaxLabelBytes && printable(text) == text; }

// RFC 1123 host name letters, as the name becomes a certificate principal and a DNS name.
bool is_node_name(std::string_view name) {
  if (name.empty() || name.size() > 253) return false;
  for (char c : name) {
    bool fine =
        (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '-' || c == '_';
    if (!fine) return false;
  }
  return name.front() != '-' && name.front() != '.';
}

Status add_label(Labels& labels, std::string_view name, std::string_view value) {
  if (!is_label_name(name)) {
    return fail(ErrorCode::kInvalidArgument, "'{}' is not a label name; use letters, digits and ._/-", printable(name));
  }
  if (!is_plain_text(value)) {
    return fail(ErrorCode::kInvalidArgument, "the value of label '{}' is over {} bytes or has control characters", name,
                kMaxLabelBytes);
  }
  if (labels.size() >= kMaxLabels) return fail(ErrorCode::kInvalidArgument, "more than {} labels", kMaxLabels);
  if (!labels.emplace(name, value).second) return fail(ErrorCode::kInvalidArgument, "label '{}' is given twice", name);
  return {};
}

struct ScalarKey {
  std::string_view key;
  const char* variable;
  std::string_view accepted;
  Status (*set)(Config&, std::string_view);
};

const ScalarKey kScalarKeys[] = {
    {"auth_addr", "MEZITE_AUTH_ADDR", "HOST:PORT of the hub's gRPC API (:3025 is this machine)",
     [](Config& c, std::string_view v) -> Status {
       MEZ_TRY(c.auth_addr, parse_target(v, 3025));
       return {};
     }},
    {"proxy_addr", "MEZITE_PROXY_ADDR", "HOST:PORT of the hub's tunnel listener (:3024 is this machine)",
     [](Config& c, std::string_view v) -> Status {
       MEZ_TRY(c.proxy_addr, parse_target(v, 3024));
       return {};
     }},
    {"data_dir", "MEZITE_DATA_DIR", "an absolute path",
     [](Config& c, std::string_view v) -> Status {
       if (v.empty() || v[0] != '/') return fail(ErrorCode::kInvalidArgument, "not absolute");
       c.data_dir = std::filesystem::path(v);
       return {};
     }},
    {"join_token", "MEZITE_JOIN_TOKEN", "a token as `mezctl tokens create --roles=node` prints it",
     [](Config& c, std::string_view v) -> Status {
       c.join_token = Secret(trim(v));
       return {};
     }},
    {"join_method", "MEZITE_JOIN_METHOD", "token or iam",
     [](Config& c, std::string_view v) -> Status {
       if (v == "token" || v.empty())
         c.join_method = JoinMethod::kToken;
       else if (v == "iam")
         c.join_method = JoinMethod::kIam;
       else
         return fail(ErrorCode::kInvalidArgument, "unknown");
       return {};
     }},
    {"tls_ca_file", "MEZITE_TLS_CA_FILE", "the absolute path of a PEM file, for use with tls_wrap",
     [](Config& c, std::string_view v) -> Status {
       if (!v.empty() && v[0] != '/') return fail(ErrorCode::kInvalidArgument, "not absolute");
       c.tls_ca_file = std::filesystem::path(v);
       return {};
     }},
    {"ca_pin", "MEZITE_CA_PIN", "sha256:<64 hexadecimal digits>, as `mezctl ca status` prints it",
     [](Config& c, std::string_view v) -> Status {
       std::string_view hex = v.starts_with("sha256:") ? v.substr(7) : v;
       if (v.empty()) return {};
       auto bytes = from_hex(hex);
       if (!bytes || bytes->size() != 32) return fail(ErrorCode::kInvalidArgument, "not a SHA-256");
       c.ca_pin = to_hex(*bytes);
       return {};
     }},
    {"node_name", "MEZITE_NODE_NAME", "a host name: letters, digits, '.', '-' and '_'",
     [](Config& c, std::string_view v) -> Status {
       if (!is_node_name(v)) return fail(ErrorCode::kInvalidArgument, "not a host name");
       c.node_name = std::string(v);
       return {};
     }},
    {"pam_service", "MEZITE_PAM_SERVICE", "the name of a file in /etc/pam.d, or nothing for no PAM session",
     [](Config& c, std::string_view v) -> Status {
       if (!v.empty() && !is_node_name(v)) return fail(ErrorCode::kInvalidArgument, "not a service name");
       c.pam_service = std::string(v);
       return {};
     }},
    {"sftp_server", "MEZITE_SFTP_SERVER", "the absolute path of OpenSSH's sftp-server",
     [](Config& c, std::string_view v) -> Status {
       if (!v.empty() && v[0] != '/') return fail(ErrorCode::kInvalidArgument, "not absolute");
       c.sftp_server = std::string(v);
       return {};
     }},
    {"spool_max_bytes", "MEZITE_SPOOL_MAX_BYTES", "a number of bytes, or with KiB, MiB, GiB or TiB behind it",
     [](Config& c, std::string_view v) -> Status {
       MEZ_TRY(c.spool_max_bytes, parse_bytes(v));
       return {};
     }},
    {"on_recording_failure", "MEZITE_ON_RECORDING_FAILURE", "continue or refuse",
     [](Config& c, std::string_view v) -> Status {
       if (v == "continue")
         c.on_recording_failure = OnRecordingFailure::kContinue;
       else if (v == "refuse")
         c.on_recording_failure = OnRecordingFailure::kRefuse;
       else
         return fail(ErrorCode::kInvalidArgument, "unknown");
       return {};
     }},
    {"enhanced_recording", "MEZITE_ENHANCED_RECORDING", "off, auto, require, bpf or audit",
     [](Config& c, std::string_view v) -> Status {
       if (v == "off")
         c.enhanced_recording = EnhancedRecording::kOff;
       else if (v == "auto")
         c.enhanced_recording = EnhancedRecording::kAuto;
       else if (v == "require")
         c.enhanced_recording = EnhancedRecording::kRequire;
       else if (v == "bpf")
         c.enhanced_recording = EnhancedRecording::kBpf;
       else if (v == "audit")
         c.enhanced_recording = EnhancedRecording::kAudit;
       else
         return fail(ErrorCode::kInvalidArgument, "unknown");
       return {};
     }},
    {"workload_api_socket", "MEZITE_WORKLOAD_API_SOCKET", "the absolute path of a Unix socket, 107 bytes at most",
     [](Config& c, std::string_view v) -> Status {
       if (!v.empty() && (v[0] != '/' || v.size() > 107 || v.ends_with('/'))) {
         return fail(ErrorCode::kInvalidArgument, "not a socket's path");
       }
       c.workload_api_socket = std::string(v);
       return {};
     }},
    {"tls_wrap", "MEZITE_TLS_WRAP", "true or false",
     [](Config& c, std::string_view v) -> Status {
       if (v == "true" || v == "1")
         c.tls_wrap = TlsWrap::kOn;
       else if (v == "false" || v == "0" || v.empty())
         c.tls_wrap = TlsWrap::kOff;
       else
         return fail(ErrorCode::kInvalidArgument, "unknown");
       return {};
     }},
};

// Every error about the file has this shape: where, which key, what came, what is accepted.
std::unexpected<Error> refuse(std::string_view file, const YAML::Node& at, std::string_view key, std::string_view what,
                              std::string_view accepted) {
  return fail(ErrorCode::kInvalidArgument, "{}:{}: {}: {}; accepted: {}", file, at.Mark().line + 1, printable(key),
              what, accepted);
}

std::string known_keys() {
  std::string keys;
  for (const ScalarKey& key : kScalarKeys) keys += fmt::format("{}, ", key.key);
  return keys + "labels, command_labels";
}

std::string describe(const YAML::Node& node) {
  switch (node.Type()) {
    case YAML::NodeType::Map: return "a map";
    case YAML::NodeType::Sequence: return "a list";
    case YAML::NodeType::Scalar: return fmt::format("'{}'", printable(node.Scalar().substr(0, 80)));
    default: return "nothing";
  }
}

Status read_labels(Config& config, std::string_view file, const YAML::Node& value) {
  constexpr std::string_view kAccepted = "a map of names and values, such as {env: prod, team: db}";
  if (!value.IsMap()) return refuse(file, value, "labels", describe(value) + " is not a map", kAccepted);
  for (const auto& entry : value) {
    std::string key = fmt::format("labels.{}", entry.first.IsScalar() ? entry.first.Scalar() : "?");
    if (!entry.first.IsScalar() || !entry.second.IsScalar()) {
      return refuse(file, entry.first, key, describe(entry.second) + " is not text", kAccepted);
    }
    Status added = add_label(config.labels, entry.first.Scalar(), entry.second.Scalar());
    if (!added) return refuse(file, entry.first, key, added.error().message, kAccepted);
  }
  return {};
}

Status read_command_labels(Config& config, std::string_view file, const YAML::Node& value) {
  constexpr std::string_view kAccepted = "a map such as {kernel: {command: [uname, -r], period: 1h}}";
  if (!value.IsMap()) return refuse(file, value, "command_labels", describe(value) + " is not a map", kAccepted);
  for (const auto& entry : value) {
    if (!entry.first.IsScalar() || !is_label_name(entry.first.Scalar())) {
      return refuse(file, entry.first, "command_labels", describe(entry.first) + " is not a label name", kAccepted);
    }
    CommandLabel label{.name = entry.first.Scalar()};
    std::string key = "command_labels." + label.name;
    if (!entry.second.IsMap()) return refuse(file, entry.second, key, "not a map", kAccepted);
    for (const auto& part : entry.second) {
      std::string name = part.first.IsScalar() ? part.first.Scalar() : "?";
      if (name == "command") {
        if (!part.second.IsSequence() || part.second.size() == 0 || part.second.size() > 64) {
          return refuse(file, part.second, key + ".command", describe(part.second) + " is not a list", kAccepted);
        }
        for (const auto& argument : part.second) {
          if (!argument.IsScalar()) return refuse(file, argument, key + ".command", "not text", kAccepted);
          label.command.push_back(argument.Scalar());
        }
      } else if (name == "period") {
        auto period = parse_duration(part.second.IsScalar() ? part.second.Scalar() : "");
        if (!period || *period < std::chrono::seconds(1)) {
          return refuse(file, part.second, key + ".period", describe(part.second) + " is not a duration of 1s or more",
                        "30s, 5m, 1h");
        }
        label.period = *period;
      } else {
        return refuse(file, part.first, key + "." + name, "unknown key", "command, period");
      }
    }
    if (label.command.empty()) return refuse(file, entry.second, key, "command is missing", kAccepted);
    if (config.command_labels.size() >= kMaxLabels) return refuse(file, value, key, "too many labels", kAccepted);
    config.command_labels.push_back(std::move(label));
  }
  return {};
}

Status read_document(Config& config, std::string_view file, const YAML::Node& document) {
  if (document.IsNull() || !document.IsDefined()) return {};
  if (!document.IsMap()) return refuse(file, document, "(document)", "not a map", known_keys());
  std::set<std::string> seen;
  for (const auto& entry : document) {
    if (!entry.first.IsScalar()) return refuse(file, entry.first, "(key)", "not text", known_keys());
    const std::string& key = entry.first.Scalar();
    if (!seen.insert(key).second) return refuse(file, entry.first, key, "given twice", "each key once");
    if (key == "labels") {
      MEZ_CHECK(read_labels(config, file, entry.second));
    } else if (key == "command_labels") {
      MEZ_CHECK(read_command_labels(config, file, entry.second));
    } else {
      const ScalarKey* known = nullptr;
      for (const ScalarKey& candidate : kScalarKeys) {
        if (candidate.key == key) known = &candidate;
      }
      if (!known) return refuse(file, entry.first, key, "unknown key", known_keys());
      bool secret = known->key == "join_token";
      if (!entry.second.IsScalar()) {
        return refuse(file, entry.second, key, describe(entry.second) + " is of the wrong type", known->accepted);
      }
      if (!known->set(config, entry.second.Scalar())) {
        return refuse(file, entry.second, key, secret ? "bad value" : "bad value " + describe(entry.second),
                      known->accepted);
      }
    }
  }
  return {};
}

Status read_environment(Config& config, const Environment& environment) {
  for (const ScalarKey& key : kScalarKeys) {
    std::optional<std::string> value = environment(key.variable);
    // An empty variable is what many unit files leave behind for "not set".
    if (!value || value->empty()) continue;
    if (!key.set(config, *value)) {
      return fail(ErrorCode::kInvalidArgument, "environment: {}: bad value{}; accepted: {}", key.variable,
                  key.key == "join_token" ? std::string() : fmt::format(" '{}'", printable(value->substr(0, 80))),
                  key.accepted);
    }
    if (key.key == "join_token") wipe(*value);
  }
  if (std::optional<std::string> text = environment("MEZITE_LABELS")) {
    Result<Labels> labels = parse_labels(*text);
    if (!labels) {
      return fail(ErrorCode::kInvalidArgument, "environment: MEZITE_LABELS: {}; accepted: env=prod,team=db",
                  labels.error().message);
    }
    for (auto& [name, value] : *labels) config.labels[name] = value;
  }
  return {};
}

}  // namespace

Environment process_environment() {
  return [](const char* name) -> std::optional<std::string> {
    const char* value = std::getenv(name);
    if (!value) return std::nullopt;
    return value;
  };
}

Result<Labels> parse_labels(std::string_view text) {
  Labels labels;
  if (trim(text).empty()) return labels;
  for (std::string_view piece : split(text, ',')) {
    piece = trim(piece);
    std::size_t equals = piece.find('=');
    if (equals == std::string_view::npos) {
      return fail(ErrorCode::kInvalidArgument, "'{}' is not name=value", printable(piece));
    }
    MEZ_CHECK(add_label(labels, trim(piece.substr(0, equals)), trim(piece.substr(equals + 1))));
  }
  return labels;
}

Result<Config> parse_config(std::string_view text, std::string_view file, const Environment& environment) {
  Config config;
  utsname system{};
  if (::uname(&system) == 0) config.hostname = system.nodename;
  if (is_node_name(config.hostname)) config.node_name = config.hostname;
  try {
    MEZ_CHECK(read_document(config, file, YAML::Load(std::string(text))));
  } catch (const YAML::Exception& error) {
    return fail(ErrorCode::kInvalidArgument, "{}:{}: not YAML: {}", file, error.mark.line + 1, error.msg);
  }
  MEZ_CHECK(read_environment(config, environment));
  for (const CommandLabel& label : config.command_labels) {
    if (config.labels.contains(label.name)) {
      return fail(ErrorCode::kInvalidArgument, "label '{}' is both in labels and in command_labels; remove one",
                  label.name);
    }
  }
  if (config.node_name.empty()) {
    return fail(ErrorCode::kInvalidArgument, "the host name '{}' can't be a node name; set MEZITE_NODE_NAME",
                printable(config.hostname));
  }
  return config;
}

Result<Config> load_config(const std::filesystem::path& file, const Environment& environment) {
  std::filesystem::path path = file.empty() ? std::filesystem::path(kDefaultConfigPath) : file;
  Result<Bytes> content = read_file(path, kConfigLimitBytes);
  if (!content) {
    if (file.empty() && content.error().code == ErrorCode::kNotFound)
      return parse_config("", path.string(), environment);
    return wrap(content.error(), "reading the configuration");
  }
  return parse_config(as_text(*content), path.string(), environment);
}

}  // namespace mezite::agent
