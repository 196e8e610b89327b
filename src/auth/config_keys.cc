#include "auth/config_keys.hh"

#include <algorithm>
#include <charconv>
#include <utility>

#include "base/clock.hh"
#include "base/text.hh"
#include "recording/recipient.hh"

namespace mezite::auth {
namespace {

using Setter = std::function<Status(Config&, const RawValue&)>;

// A key that keeps its text; in reports the member that a lambda picks.
template <class Member>
Setter text_into(Member member) {
  return [member](Config& config, const RawValue& value) -> Status {
    if (value.items.at(0).find('\0') != std::string::npos) return fail(ErrorCode::kInvalidArgument, "holds a NUL");
    member(config) = value.items.at(0);
    return {};
  };
}

template <class Member>
Setter secret_into(Member member) {
  return [member](Config& config, const RawValue& value) -> Status {
    member(config) = Secret(std::string_view(value.items.at(0)));
    return {};
  };
}

Result<bool> parse_bool(std::string_view text) {
  if (text == "true" || text == "yes" || text == "on" || text == "1") return true;
  if (text == "false" || text == "no" || text == "off" || text == "0") return false;
  return fail(ErrorCode::kInvalidArgument, "'{}' is not a truth value", printable(text));
}

template <class Member>
Setter bool_into(Member member) {
  return [member](Config& config, const RawValue& value) -> Status {
    MEZ_TRY(member(config), parse_bool(value.items.at(0)));
    return {};
  };
}

template <class Member>
Setter integer_into(Member member, unsigned least, unsigned most) {
  return [member, least, most](Config& config, const RawValue& value) -> Status {
    const std::string& text = value.items.at(0);
    unsigned number = 0;
    auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (problem != std::errc{} || end != text.data() + text.size() || number < least || number > most) {
      return fail(ErrorCode::kInvalidArgument, "'{}' is not a number from {} to {}", printable(text), least, most);
    }
    using Target = std::remove_cvref_t<decltype(member(config))>;
    member(config) = static_cast<Target>(number);
    return {};
  };
}

template <class Member>
Setter address_into(Member member) {
  return [member](Config& config, const RawValue& value) -> Status {
    MEZ_TRY(member(config), net::parse_host_port(value.items.at(0)));
    return {};
  };
}

template <class Member, class Value>
Setter choice_into(Member member, std::vector<std::pair<std::string_view, Value>> choices) {
  return [member, choices = std::move(choices)](Config& config, const RawValue& value) -> Status {
    for (const auto& [name, choice] : choices) {
      if (name != value.items.at(0)) continue;
      member(config) = choice;
      return {};
    }
    return fail(ErrorCode::kInvalidArgument, "'{}' is not one of the accepted values", printable(value.items.at(0)));
  };
}

template <class Member>
Setter duration_into(Member member) {
  return [member](Config& config, const RawValue& value) -> Status {
    MEZ_TRY(member(config), parse_duration(value.items.at(0)));
    return {};
  };
}

template <class Member>
Setter list_into(Member member) {
  return [member](Config& config, const RawValue& value) -> Status {
    member(config) = value.items;
    return {};
  };
}

Setter url_into(std::function<std::string&(Config&)> member) {
  return [member](Config& config, const RawValue& value) -> Status {
    const std::string& text = value.items.at(0);
    bool scheme = text.starts_with("https://") || text.starts_with("http://");
    bool plain = std::all_of(text.begin(), text.end(), [](unsigned char c) { return c > ' ' && c < 0x7f; });
    if (!scheme || !plain) return fail(ErrorCode::kInvalidArgument, "'{}' is not a URL", printable(text));
    member(config) = text;
    return {};
  };
}

// A name that ends up in certificates, host names and file names of others.
Status set_cluster_name(Config& config, const RawValue& value) {
  const std::string& text = value.items.at(0);
  auto plain = [](unsigned char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.'; };
  bool shape = !text.empty() && text.size() <= 253 && std::all_of(text.begin(), text.end(), plain) &&
               text.front() != '.' && text.front() != '-' && text.back() != '.' && text.back() != '-' &&
               text.find("..") == std::string::npos;
  if (!shape) return fail(ErrorCode::kInvalidArgument, "'{}' is not a cluster name", printable(text));
  config.cluster_name = text;
  return {};
}

Status set_data_dir(Config& config, const RawValue& value) {
  if (value.items.at(0).empty() || value.items.at(0).find('\0') != std::string::npos) {
    return fail(ErrorCode::kInvalidArgument, "'{}' is not a folder's path", printable(value.items.at(0)));
  }
  std::error_code problem;
  config.data_dir = std::filesystem::absolute(value.items.at(0), problem).lexically_normal();
  if (problem) return fail(ErrorCode::kInvalidArgument, "'{}' is not a folder's path", printable(value.items.at(0)));
  return {};
}

Status set_public_addr(Config& config, const RawValue& value) {
  MEZ_TRY(HostPort address, net::parse_host_port(value.items.at(0)));
  if (address.host.empty()) return fail(ErrorCode::kInvalidArgument, "'{}' has no host", printable(value.items.at(0)));
  config.proxy.public_addr = std::move(address);
  return {};
}

Status set_key_tags(Config& config, const RawValue& value) {
  for (const std::string& item : value.items) {
    std::size_t sign = item.find('=');
    if (sign == 0 || sign == std::string::npos) {
      return fail(ErrorCode::kInvalidArgument, "'{}' has no '='", printable(item));
    }
    config.kms.key_tags[item.substr(0, sign)] = item.substr(sign + 1);
  }
  return {};
}

Status set_cidrs(Config& config, const RawValue& value) {
  for (const std::string& item : value.items) {
    std::size_t slash = item.find('/');
    std::string_view bits = slash == std::string::npos ? "" : std::string_view(item).substr(slash + 1);
    bool digits = !bits.empty() && bits.size() <= 3 &&
                  std::all_of(bits.begin(), bits.end(), [](char c) { return c >= '0' && c <= '9'; });
    if (!digits || slash == 0) return fail(ErrorCode::kInvalidArgument, "'{}' is not a network", printable(item));
  }
  config.proxy.proxy_protocol_trusted_cidrs = value.items;
  return {};
}

// A short key is guessed; the chain would then prove nothing.
Status set_hmac_key(Config& config, const RawValue& value) {
  if (value.items.at(0).size() < 16) return fail(ErrorCode::kInvalidArgument, "the key is shorter than 16 characters");
  config.audit.hmac_key = Secret(std::string_view(value.items.at(0)));
  return {};
}

Status set_previous_hmac_keys(Config& config, const RawValue& value) {
  config.audit.previous_hmac_keys.clear();
  for (const std::string& item : value.items) {
    if (item.size() < 16) return fail(ErrorCode::kInvalidArgument, "a key is shorter than 16 characters");
    config.audit.previous_hmac_keys.emplace_back(std::string_view(item));
  }
  return {};
}

Status set_recording_recipients(Config& config, const RawValue& value) {
  if (value.items.size() > recording::kMaxRecipients) {
    return fail(ErrorCode::kInvalidArgument, "at most {} recipients", recording::kMaxRecipients);
  }
  for (const std::string& item : value.items) MEZ_CHECK(recording::parse_recipient(item));
  config.recording.recipients = value.items;
  return {};
}

Status set_webhook_url(Config& config, const RawValue& value) {
  const std::string& text = value.items.at(0);
  bool plain = std::all_of(text.begin(), text.end(), [](unsigned char c) { return c > ' ' && c < 0x7f; });
  if (!plain || !text.starts_with("https://") || text.size() < 9) {
    // The URL is not shown: it may hold a token.
    if (text.starts_with("http://")) return fail(ErrorCode::kInvalidArgument, "events are not sent in clear (http://)");
    return fail(ErrorCode::kInvalidArgument, "it is no https:// URL");
  }
  if (text.find('@') != std::string::npos) return fail(ErrorCode::kInvalidArgument, "a URL with a user is not taken");
  config.audit.sink_webhook_url = text;
  return {};
}

Status set_webhook_secret(Config& config, const RawValue& value) {
  if (value.items.at(0).size() < 16) {
    return fail(ErrorCode::kInvalidArgument, "the secret is shorter than 16 characters");
  }
  config.audit.sink_webhook_secret = Secret(std::string_view(value.items.at(0)));
  return {};
}

template <class Member>
Setter absolute_path_into(Member member) {
  return [member](Config& config, const RawValue& value) -> Status {
    const std::string& text = value.items.at(0);
    if (!text.starts_with('/') || text.ends_with('/') || text.find('\0') != std::string::npos) {
      return fail(ErrorCode::kInvalidArgument, "'{}' is not the absolute path of a file", printable(text));
    }
    member(config) = text;
    return {};
  };
}

constexpr const char* kAnyText = "use plain text";
constexpr const char* kBool = "use true or false";
constexpr const char* kAddress = "use host:port, or :port for every interface";

struct Extra {
  std::vector<std::string> variables{};  // in front of the variable that the rule gives
  bool takes_list = false;
  Sensitivity sensitivity = Sensitivity::kPublic;
  std::vector<std::string> honoured{};
};
const std::vector<std::string> kNotYet{""};

ConfigKey key(std::string name, std::string type, std::string default_text, std::string accepted, Setter set,
              std::string description, Extra extra = {}) {
  extra.variables.push_back(variable_of(name));
  return ConfigKey{std::move(name),         std::move(extra.variables), std::move(type),
                   std::move(default_text), std::move(accepted),        std::move(description),
                   extra.takes_list,        extra.sensitivity,          std::move(extra.honoured),
                   std::move(set)};
}

using C = Config;
using Strings = std::vector<std::string>;

void add_general(std::vector<ConfigKey>& keys) {
  keys.push_back(key("cluster_name", "name", "host name", "use lower-case letters, digits, '-' and '.'",
                     set_cluster_name, "The cluster's name. It is in every certificate; do not change it later."));
  keys.push_back(key("data_dir", "path", "/var/lib/mezite", "use a folder's path", set_data_dir,
                     "Database (`mezhub.db`), local recordings (`recordings/`) and the admin socket (`admin.sock`)."));
  keys.push_back(key("log.level", "choice", "info", "use debug, info, warn or error",
                     choice_into([](C& c) -> auto& { return c.log.level; },
                                 std::vector<std::pair<std::string_view, log::Level>>{{"debug", log::Level::kDebug},
                                                                                      {"info", log::Level::kInfo},
                                                                                      {"warn", log::Level::kWarn},
                                                                                      {"error", log::Level::kError}}),
                     "Least severe line that is logged: `debug`, `info`, `warn`, `error`. Reloaded by SIGHUP."));
  keys.push_back(key("log.format", "choice", "json", "use json or text",
                     choice_into([](C& c) -> auto& { return c.log.format; },
                                 std::vector<std::pair<std::string_view, log::Format>>{{"json", log::Format::kJson},
                                                                                       {"text", log::Format::kText}}),
                     "`json` or `text`, one line per event on stderr. Reloaded by SIGHUP."));
}

void add_database(std::vector<ConfigKey>& keys) {
  auto db = [&](std::string name, std::string type, std::string value, std::string accepted, Setter set,
                std::string description, Extra extra) {
    extra.variables = {variable_of("db." + name)};
    keys.push_back(key("database." + name, std::move(type), std::move(value), std::move(accepted), std::move(set),
                       std::move(description), std::move(extra)));
  };
  db("driver", "choice", "sqlite", "use sqlite or postgres",
     choice_into([](C& c) -> auto& { return c.database.driver; },
                 std::vector<std::pair<std::string_view, DatabaseDriver>>{{"sqlite", DatabaseDriver::kSqlite},
                                                                          {"postgres", DatabaseDriver::kPostgres},
                                                                          {"postgresql", DatabaseDriver::kPostgres}}),
     "`sqlite` (the file `mezhub.db` in `data_dir`), or `postgres` (`postgresql` is the same).",
     {.honoured = {"sqlite"}});
  db("url", "text", "", "use postgres://user@host/name", secret_into([](C& c) -> auto& { return c.database.url; }),
     "PostgreSQL by URL, in place of the keys below.", {.sensitivity = Sensitivity::kSecret, .honoured = kNotYet});
  db("host", "text", "localhost", kAnyText, text_into([](C& c) -> auto& { return c.database.host; }),
     "PostgreSQL server.", {.honoured = kNotYet});
  db("port", "number", "5432", "use a port number",
     integer_into([](C& c) -> auto& { return c.database.port; }, 1, 65535), "PostgreSQL port.", {.honoured = kNotYet});
  db("user", "text", "mezite", kAnyText, text_into([](C& c) -> auto& { return c.database.user; }), "PostgreSQL user.",
     {.honoured = kNotYet});
  db("password", "secret", "", kAnyText, secret_into([](C& c) -> auto& { return c.database.password; }),
     "PostgreSQL password.", {.sensitivity = Sensitivity::kSecret, .honoured = kNotYet});
  db("name", "text", "mezite", kAnyText, text_into([](C& c) -> auto& { return c.database.name; }),
     "PostgreSQL database.", {.honoured = kNotYet});
  db("sslmode", "choice", "prefer", "use disable, allow, prefer, require, verify-ca or verify-full",
     choice_into([](C& c) -> auto& { return c.database.sslmode; },
                 std::vector<std::pair<std::string_view, std::string>>{{"disable", "disable"},
                                                                       {"allow", "allow"},
                                                                       {"prefer", "prefer"},
                                                                       {"require", "require"},
                                                                       {"verify-ca", "verify-ca"},
                                                                       {"verify-full", "verify-full"}}),
     "PostgreSQL TLS mode, as libpq has it.", {.honoured = kNotYet});
  db("pool_size", "number", "2 × cores", "use a number from 1 to 256",
     integer_into([](C& c) -> auto& { return c.database.pool_size; }, 1, 256), "Database connections of this instance.",
     {});
}

void add_keys_and_authorities(std::vector<ConfigKey>& keys) {
  keys.push_back(
      key("ca_key_passphrase", "secret", "", kAnyText, secret_into([](C& c) -> auto& { return c.ca_key_passphrase; }),
          "Encrypts CA keys and every other secret column (Argon2id, AES-256-GCM). Unset: they are stored in "
          "clear, with a warning at every start. Wrong: the hub refuses to start.",
          {.sensitivity = Sensitivity::kSecret}));
  keys.push_back(key(
      "ca.kms.provider", "choice", "", "use aws",
      choice_into([](C& c) -> auto& { return c.kms.provider; },
                  std::vector<std::pair<std::string_view, std::string>>{{"", ""}, {"aws", "aws"}}),
      "`aws`: keys of CAs that are made from now on live in AWS KMS; the database holds their aliases. Credentials: "
      "the environment (`AWS_ACCESS_KEY_ID`, …), the shared credentials file, or the instance's role."));
  keys.push_back(key("ca.kms.region", "text", "", kAnyText, text_into([](C& c) -> auto& { return c.kms.region; }),
                     "AWS region of the keys. Unset: `AWS_REGION`."));
  keys.push_back(key("ca.kms.endpoint", "url", "", "use http:// or https://",
                     url_into([](C& c) -> std::string& { return c.kms.endpoint; }), "Endpoint in place of AWS's own."));
  keys.push_back(key("ca.kms.key_tags", "map", "", "use name: value pairs, or name=value,name=value", set_key_tags,
                     "Tags of the keys that are made.", {.takes_list = true}));
}

void add_auth(std::vector<ConfigKey>& keys) {
  keys.push_back(key("auth.enabled", "truth value", "true", kBool,
                     bool_into([](C& c) -> auto& { return c.auth.enabled; }), "Run the auth service in this process.",
                     {.honoured = {"true"}}));
  keys.push_back(key("auth.listen_addr", "address", "0.0.0.0:3025", kAddress,
                     address_into([](C& c) -> auto& { return c.auth.listen_addr; }),
                     "gRPC API for `mezctl` and agents: TLS 1.3, certificate from the Host CA."));
  keys.push_back(key("auth.grpc_allow_http", "truth value", "false", kBool,
                     bool_into([](C& c) -> auto& { return c.auth.grpc_allow_http; }),
                     "Also accept cleartext HTTP/2 on `auth.listen_addr`, for a load balancer that ends TLS. Agents "
                     "sign each call there (`MEZITE_TLS_WRAP`).",
                     {.variables = {"MEZITE_GRPC_ALLOW_HTTP"}}));
  keys.push_back(key(
      "auth.h2c", "truth value", "false", kBool, bool_into([](C& c) -> auto& { return c.auth.h2c; }),
      "Accept cleartext HTTP/2 only, for a load balancer that ends TLS. Agents sign each call (`MEZITE_TLS_WRAP`)."));
  keys.push_back(key("auth.iam.sts_endpoint", "url", "https://sts.amazonaws.com", "use http:// or https://",
                     url_into([](C& c) -> std::string& { return c.auth.sts_endpoint; }),
                     "AWS STS, where nodes that join with `--join-method=iam` are asked for. Nothing else is ever "
                     "called for them."));
  keys.push_back(key("auth.iam.sts_region", "text", "us-east-1", kAnyText,
                     text_into([](C& c) -> auto& { return c.auth.sts_region; }),
                     "The region that their requests are signed for; the one of `auth.iam.sts_endpoint`."));
}

void add_proxy(std::vector<ConfigKey>& keys) {
  keys.push_back(key("proxy.enabled", "truth value", "true", kBool,
                     bool_into([](C& c) -> auto& { return c.proxy.enabled; }), "Run the proxy in this process."));
  keys.push_back(key("proxy.listen_addr", "address", ":3080", kAddress,
                     address_into([](C& c) -> auto& { return c.proxy.listen_addr; }), "HTTPS: web API, `/healthz`."));
  keys.push_back(key("proxy.ssh_listen_addr", "address", ":3023", kAddress,
                     address_into([](C& c) -> auto& { return c.proxy.ssh_listen_addr; }), "SSH for users."));
  keys.push_back(key("proxy.tunnel_listen_addr", "address", ":3024", kAddress,
                     address_into([](C& c) -> auto& { return c.proxy.tunnel_listen_addr; }),
                     "Reverse tunnels that agents dial."));
  keys.push_back(key("proxy.single_port_addr", "address", "", kAddress,
                     [](C& c, const RawValue& value) -> Status {
                       MEZ_TRY(c.proxy.single_port_addr, net::parse_host_port(value.items.at(0)));
                       return {};
                     },
                     "Everything on one port, told apart by TLS ALPN.", {.honoured = kNotYet}));
  keys.push_back(key("proxy.public_addr", "address", "host name:3080", "use host:port", set_public_addr,
                     "What clients and identity providers are told to connect to."));
  keys.push_back(key("proxy.oidc_issuer_url", "url", "`https://` + public_addr", "use http:// or https://",
                     url_into([](C& c) -> std::string& { return c.proxy.oidc_issuer_url; }), "Advertised OIDC issuer.",
                     {.honoured = kNotYet}));
  keys.push_back(key("proxy.tls_mode", "choice", "auto", "use auto, files or off",
                     choice_into([](C& c) -> auto& { return c.proxy.tls_mode; },
                                 std::vector<std::pair<std::string_view, TlsMode>>{
                                     {"auto", TlsMode::kAuto}, {"files", TlsMode::kFiles}, {"off", TlsMode::kOff}}),
                     "`auto`: a certificate of the Host CA; `files`: `proxy.tls.cert_file` and `.key_file`; `off`: "
                     "cleartext behind a load balancer.",
                     {.honoured = {"auto"}}));
  keys.push_back(key("proxy.tls.cert_file", "path", "", kAnyText,
                     text_into([](C& c) -> auto& { return c.proxy.tls_cert_file; }),
                     "PEM certificate chain for `tls_mode: files`.", {.honoured = kNotYet}));
  keys.push_back(key("proxy.tls.key_file", "path", "", kAnyText,
                     text_into([](C& c) -> auto& { return c.proxy.tls_key_file; }),
                     "PEM private key for `tls_mode: files`.", {.honoured = kNotYet}));
  keys.push_back(key("proxy.trusted_ip_header", "text", "", kAnyText,
                     text_into([](C& c) -> auto& { return c.proxy.trusted_ip_header; }),
                     "HTTP header that holds the client's address, believed from the listed networks only.",
                     {.honoured = kNotYet}));
  keys.push_back(key("proxy.proxy_protocol_trusted_cidrs", "list", "", "use networks like 10.0.0.0/8", set_cidrs,
                     "Networks of load balancers whose PROXY protocol and client-address header are believed.",
                     {.takes_list = true, .honoured = kNotYet}));
  keys.push_back(key("proxy.apps_domain", "text", "", kAnyText,
                     text_into([](C& c) -> auto& { return c.proxy.apps_domain; }), "Parent domain of applications.",
                     {.honoured = kNotYet}));
  keys.push_back(key("proxy.apps_keypair.cert_file", "path", "", kAnyText,
                     text_into([](C& c) -> auto& { return c.proxy.apps_keypair_cert_file; }),
                     "PEM certificate chain for `*.apps_domain`.", {.honoured = kNotYet}));
  keys.push_back(key("proxy.apps_keypair.key_file", "path", "", kAnyText,
                     text_into([](C& c) -> auto& { return c.proxy.apps_keypair_key_file; }),
                     "PEM private key for `*.apps_domain`.", {.honoured = kNotYet}));
  keys.push_back(key("proxy.apps_oidc_connector", "text", "", kAnyText,
                     text_into([](C& c) -> auto& { return c.proxy.apps_oidc_connector; }),
                     "Connector that logs users of applications in.", {.honoured = kNotYet}));
  keys.push_back(key("proxy.drain_timeout", "duration", "10s", "use a duration like 30s or 5m",
                     duration_into([](C& c) -> auto& { return c.proxy.drain_timeout; }),
                     "How long a hub that was told to stop waits for live sessions to end."));
}

void add_recording_and_audit(std::vector<ConfigKey>& keys) {
  keys.push_back(
      key("recording.mode", "choice", "node", "use node, node-sync, proxy or off",
          choice_into([](C& c) -> auto& { return c.recording.mode; },
                      std::vector<std::pair<std::string_view, RecordingMode>>{{"node", RecordingMode::kNode},
                                                                              {"node-sync", RecordingMode::kNodeSync},
                                                                              {"proxy", RecordingMode::kProxy},
                                                                              {"off", RecordingMode::kOff}}),
          "`node`: the agent spools a session and uploads it; `node-sync`: it streams live; `proxy`: agentless "
          "nodes, recorded at the proxy; `off`: nothing is recorded.",
          {.honoured = {"node", "node-sync", "off"}}));
  keys.push_back(key("recording.backend", "choice", "local", "use local or s3",
                     choice_into([](C& c) -> auto& { return c.recording.backend; },
                                 std::vector<std::pair<std::string_view, RecordingBackend>>{
                                     {"local", RecordingBackend::kLocal}, {"s3", RecordingBackend::kS3}}),
                     "Where recordings are kept: `local` (`recordings/` in `data_dir`) or `s3`."));
  keys.push_back(key("recording.s3.bucket", "text", "", kAnyText,
                     text_into([](C& c) -> auto& { return c.recording.s3_bucket; }),
                     "S3 bucket. Credentials are found as for `ca.kms`."));
  keys.push_back(key("recording.s3.prefix", "text", "", kAnyText,
                     text_into([](C& c) -> auto& { return c.recording.s3_prefix; }), "Prefix of the objects' names."));
  keys.push_back(key("recording.s3.region", "text", "", kAnyText,
                     text_into([](C& c) -> auto& { return c.recording.s3_region; }),
                     "S3 region. Unset: `AWS_REGION`."));
  keys.push_back(key("recording.s3.endpoint", "url", "", "use http:// or https://",
                     url_into([](C& c) -> std::string& { return c.recording.s3_endpoint; }),
                     "Endpoint in place of AWS's own."));
  keys.push_back(key("recording.s3.auto_create_bucket", "truth value", "false", kBool,
                     bool_into([](C& c) -> auto& { return c.recording.s3_auto_create_bucket; }),
                     "Make the bucket when it is not there.", {.variables = {"MEZITE_S3_AUTO_CREATE_BUCKET"}}));
  keys.push_back(key(
      "recording.s3.addressing", "choice", "auto", "use auto, path or virtual-host",
      choice_into([](C& c) -> auto& { return c.recording.s3_addressing; },
                  std::vector<std::pair<std::string_view, S3Addressing>>{{"auto", S3Addressing::kAuto},
                                                                         {"path", S3Addressing::kPath},
                                                                         {"virtual-host", S3Addressing::kVirtualHost}}),
      "Where the bucket's name goes: into the host (`virtual-host`) or into the path (`path`). `auto`: "
      "into the path when `recording.s3.endpoint` is set."));
  keys.push_back(
      key("recording.s3.encryption", "choice", "none", "use none, AES256 or aws:kms",
          choice_into(
              [](C& c) -> auto& { return c.recording.s3_encryption; },
              std::vector<std::pair<std::string_view, S3Encryption>>{
                  {"none", S3Encryption::kNone}, {"AES256", S3Encryption::kAes256}, {"aws:kms", S3Encryption::kKms}}),
          "Server-side encryption that S3 is asked for. `none`: whatever the bucket does by itself."));
  keys.push_back(key("recording.s3.kms_key_id", "text", "", kAnyText,
                     text_into([](C& c) -> auto& { return c.recording.s3_kms_key_id; }),
                     "KMS key for `recording.s3.encryption: aws:kms`. Unset: S3's own."));
  keys.push_back(
      key("recording.recipients", "list", "", "use public keys as `mezctl recordings keygen` prints them",
          set_recording_recipients,
          "X25519 public keys that recordings are encrypted to at the node. Who has none of the private keys "
          "can't play them, the hub included.",
          {.takes_list = true}));
  keys.push_back(
      key("audit.hmac_key", "secret", "", "use at least 16 characters, e.g. from `openssl rand -hex 32`", set_hmac_key,
          "Key of the audit log's HMAC chain. Unset: the chain shows accidents only, with a warning at every "
          "start.",
          {.sensitivity = Sensitivity::kSecret}));
  keys.push_back(key("audit.previous_hmac_keys", "list", "", "use a list of keys of at least 16 characters each",
                     set_previous_hmac_keys, "Keys that older events were chained with, so that they still verify.",
                     {.takes_list = true, .sensitivity = Sensitivity::kSecret}));
  keys.push_back(key("audit.sink.webhook_url", "url", "", "use https://host/path", set_webhook_url,
                     "Every event is sent here, too, by HTTPS POST (docs/audit-sinks.md)."));
  keys.push_back(key("audit.sink.webhook_secret", "secret", "", "use at least 16 characters", set_webhook_secret,
                     "Signs what the webhook is sent (`X-Mezite-Signature`). Unset: not signed, with a warning.",
                     {.sensitivity = Sensitivity::kSecret}));
  keys.push_back(key("audit.sink.webhook_ca_file", "path", "", "use the path of a PEM file",
                     absolute_path_into([](C& c) -> auto& { return c.audit.sink_webhook_ca_file; }),
                     "CA certificates that the webhook's server is checked against. Unset: the system's."));
  keys.push_back(key("audit.sink.webhook_allow_private", "truth value", "false", kBool,
                     bool_into([](C& c) -> auto& { return c.audit.sink_webhook_allow_private; }),
                     "Let the webhook be at a private, loopback or link-local address."));
  keys.push_back(key("audit.sink.file_path", "path", "", "use an absolute path",
                     absolute_path_into([](C& c) -> auto& { return c.audit.sink_file_path; }),
                     "Every event is appended to this file, too, one JSON object a line."));
  keys.push_back(key(
      "audit.sink.syslog_addr", "address", "", "use host:port",
      [](C& c, const RawValue& value) -> Status {
        MEZ_TRY(HostPort address, net::parse_host_port(value.items.at(0), 6514));
        if (address.host.empty()) return fail(ErrorCode::kInvalidArgument, "it has no host");
        c.audit.sink_syslog_addr = std::move(address);
        return {};
      },
      "Every event is sent to this syslog server, too (RFC 5424 over TLS; port 6514 unless told)."));
  keys.push_back(key("audit.sink.syslog_ca_file", "path", "", "use the path of a PEM file",
                     absolute_path_into([](C& c) -> auto& { return c.audit.sink_syslog_ca_file; }),
                     "CA certificates that the syslog server is checked against. Unset: the system's."));
}

}  // namespace

const std::vector<ConfigKey>& config_keys() {
  static const std::vector<ConfigKey> keys = [] {
    std::vector<ConfigKey> all;
    add_general(all);
    add_database(all);
    add_keys_and_authorities(all);
    add_auth(all);
    add_proxy(all);
    add_recording_and_audit(all);
    return all;
  }();
  return keys;
}

const ConfigKey* find_config_key(std::string_view name) {
  for (const ConfigKey& key : config_keys()) {
    if (key.name == name) return &key;
  }
  return nullptr;
}

std::string variable_of(std::string_view key) {
  std::string variable = "MEZITE_";
  for (char c : key) {
    if (c == '.')
      variable += '_';
    else
      variable += (c >= 'a' && c <= 'z') ? static_cast<char>(c - 'a' + 'A') : c;
  }
  return variable;
}

}  // namespace mezite::auth
