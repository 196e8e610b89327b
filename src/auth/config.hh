// The hub's configuration: built-in defaults, then the file, then MEZITE_* variables (docs/configuration.md, which is
// generated from the same table that parses them).
#pragma once

#include <chrono>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/log.hh"
#include "base/result.hh"
#include "base/secret.hh"
#include "net/address.hh"

namespace mezite::auth {

using net::HostPort;  // an empty host means every interface

enum class TlsMode { kAuto, kFiles, kOff };
enum class RecordingMode { kNode, kNodeSync, kProxy, kOff };
enum class RecordingBackend { kLocal, kS3 };
// Where a bucket's name goes: in the host (AWS), in the path (most other stores).
enum class S3Addressing { kAuto, kPath, kVirtualHost };
enum class S3Encryption { kNone, kAes256, kKms };
enum class DatabaseDriver { kSqlite, kPostgres };

std::string_view name_of(RecordingMode mode);  // as the file spells it
std::string_view name_of(RecordingBackend backend);

struct Config {
  std::string cluster_name;
  std::filesystem::path data_dir;

  struct Log {
    log::Level level = log::Level::kInfo;
    log::Format format = log::Format::kJson;
  } log;

  struct Database {
    DatabaseDriver driver = DatabaseDriver::kSqlite;
    Secret url;  // may hold a password
    std::string host;
    std::uint16_t port = 0;
    std::string user;
    Secret password;
    std::string name;
    std::string sslmode;
    unsigned pool_size = 0;
  } database;

  Secret ca_key_passphrase;  // empty: CA keys are stored in clear
  struct Kms {
    std::string provider, region, endpoint;
    std::map<std::string, std::string> key_tags;
  } kms;

  struct Auth {
    bool enabled = true;
    HostPort listen_addr;
    bool grpc_allow_http = false;
    bool h2c = false;
    std::string sts_endpoint;  // never empty after load_config()
    std::string sts_region;
  } auth;

  struct Proxy {
    bool enabled = true;
    HostPort listen_addr, ssh_listen_addr, tunnel_listen_addr;
    std::optional<HostPort> single_port_addr;
    HostPort public_addr;  // always has a host
    std::string oidc_issuer_url;
    TlsMode tls_mode = TlsMode::kAuto;
    std::filesystem::path tls_cert_file, tls_key_file;
    std::string trusted_ip_header;
    std::vector<std::string> proxy_protocol_trusted_cidrs;
    std::string apps_domain;
    std::string apps_keypair_cert_file, apps_keypair_key_file;
    std::string apps_oidc_connector;
    std::chrono::milliseconds drain_timeout{0};
  } proxy;

  struct Recording {
    RecordingMode mode = RecordingMode::kNode;
    RecordingBackend backend = RecordingBackend::kLocal;
    std::string s3_bucket, s3_prefix, s3_region, s3_endpoint;
    bool s3_auto_create_bucket = false;
    S3Addressing s3_addressing = S3Addressing::kAuto;
    S3Encryption s3_encryption = S3Encryption::kNone;
    std::string s3_kms_key_id;
    std::vector<std::string> recipients;  // "x25519:…": recordings are encrypted to these
  } recording;

  struct Audit {
    Secret hmac_key;  // empty: the chain shows accidents only
    std::vector<Secret> previous_hmac_keys;
    std::string sink_webhook_url;
    Secret sink_webhook_secret;
    std::filesystem::path sink_webhook_ca_file;
    bool sink_webhook_allow_private = false;
    std::filesystem::path sink_file_path;
    std::optional<HostPort> sink_syslog_addr;
    std::filesystem::path sink_syslog_ca_file;
  } audit;

  // What each key was set to, hashed: which keys differ between two configurations, without keeping secrets twice.
  std::map<std::string, std::size_t> written;

  std::filesystem::path database_path() const { return data_dir / "mezhub.db"; }
  std::filesystem::path recordings_path() const { return data_dir / "recordings"; }
  std::filesystem::path admin_socket_path() const { return data_dir / "admin.sock"; }
  // What is logged at start: "sqlite:/var/lib/mezite/mezhub.db". Never holds a password.
  std::string redacted_dsn() const;
};

// Looks a variable up; nullopt when it is not set. The process environment by default.
using Environment = std::function<std::optional<std::string>(std::string_view name)>;
Environment process_environment();

inline constexpr std::string_view kDefaultConfigFile = "/etc/mezite/mezite.yaml";

// file: nullopt for the default file, which may be missing. Errors name file, line and key, or the variable, and the
// accepted values; a value that this version cannot honour is an error too. Never echoes a secret.
Result<Config> load_config(const std::optional<std::filesystem::path>& file, const Environment& environment);

// Variables that start with MEZITE_ and mean nothing to any of the programs, for a warning: most likely a typing error.
std::vector<std::string> unknown_variables(const std::vector<std::string>& names);

// The keys whose values differ, for a reload that can't bring all of them into force.
std::vector<std::string> changed_keys(const Config& before, const Config& after);

// docs/configuration.md.
std::string config_reference();

}  // namespace mezite::auth
