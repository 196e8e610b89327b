// Configuration of mezd: built-in defaults, then the file, then MEZITE_* of the environment.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "access/labels.hh"
#include "base/result.hh"
#include "base/secret.hh"
#include "net/address.hh"

namespace mezite::agent {

using Labels = access::Labels;

// A label whose value is the first line that a command prints.
struct CommandLabel {
  std::string name;
  std::vector<std::string> command;  // argv; no shell
  std::chrono::milliseconds period{60'000};
};

enum class TlsWrap { kOff, kOn };

// With a one-time secret, or as a role of AWS that a token lists.
enum class JoinMethod { kToken, kIam };

// What becomes of a session whose recording can't be opened, when its roles do not say "strict".
enum class OnRecordingFailure { kContinue, kRefuse };

// Commands and connections of sessions as the kernel sees them: not at all; where the kernel allows; or no session
// without it.
// kBpf, kAudit: required as with kRequire, and of the two ways to follow sessions in the kernel this one alone.
enum class EnhancedRecording { kOff, kAuto, kRequire, kBpf, kAudit };

struct Config {
  net::HostPort auth_addr{"localhost", 3025};
  net::HostPort proxy_addr{"localhost", 3024};
  std::filesystem::path data_dir = "/var/lib/mezite";
  Secret join_token;
  JoinMethod join_method = JoinMethod::kToken;
  std::string ca_pin;     // "sha256:<hex>" or bare hexadecimal, as given; empty: from the token
  std::string node_name;  // never empty after load()
  std::string hostname;
  Labels labels;
  std::vector<CommandLabel> command_labels;
  std::string pam_service;  // empty: no PAM session
  std::string sftp_server;  // OpenSSH's sftp-server; empty: looked for in the usual places
  std::uint64_t spool_max_bytes = std::uint64_t{10} << 30;
  OnRecordingFailure on_recording_failure = OnRecordingFailure::kContinue;
  EnhancedRecording enhanced_recording = EnhancedRecording::kOff;
  TlsWrap tls_wrap = TlsWrap::kOff;
  std::string workload_api_socket;    // of the SPIFFE Workload API; empty: none
  std::filesystem::path tls_ca_file;  // whose certificates the load balancer shows; empty: the system's roots

  std::filesystem::path state_dir() const { return data_dir / "agent"; }
  std::filesystem::path spool_dir() const { return data_dir / "spool"; }
};

// The value of a variable; nothing when it is not set.
using Environment = std::function<std::optional<std::string>(const char* name)>;
Environment process_environment();

constexpr std::string_view kDefaultConfigPath = "/etc/mezite/mezd.yaml";

// file: a path that was asked for, which must be there; empty: kDefaultConfigPath if it is there. Errors name file,
// line, key and what is accepted.
Result<Config> load_config(const std::filesystem::path& file, const Environment& environment);
// The same from text; file is only named in errors.
Result<Config> parse_config(std::string_view text, std::string_view file, const Environment& environment);

// "env=prod,team=db". Names: letters, digits and "._/-"; values: no control characters.
Result<Labels> parse_labels(std::string_view text);

// The static labels and what the commands print now. Blocks for at most five seconds a command; a command that fails
// gives an empty value and a line in the log.
Labels evaluate_labels(const Config& config);

}  // namespace mezite::agent
