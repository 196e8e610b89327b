// One session over an SSH connection, between the channel and this process's standard streams, to its exit status.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/result.hh"
#include "base/unique_fd.hh"
#include "client/forwarding.hh"
#include "net/shard.hh"
#include "ssh/keys/identity.hh"
#include "ssh/keys/public_key.hh"

namespace mezite::client {

enum class PtyMode { kAuto, kAlways, kNever };  // kAuto: for a shell when standard input is a terminal

struct SessionOptions {
  std::string login;
  std::string node;       // the name that its host certificate must have
  std::string command;    // empty: a shell
  std::string subsystem;  // instead of a command
  PtyMode pty = PtyMode::kAuto;
  bool no_session = false;                    // -N: hold the connection open
  std::optional<ForwardPoint> stdio_forward;  // -W: standard input and output go there, and no session is opened
  ForwardingOptions forwarding;
  std::function<void()> on_ready;  // called once: forwards are there, the session (if any) runs; for -f
  std::vector<ssh::Identity> identities;
  std::vector<ssh::PublicKey> host_cas;
  std::vector<std::pair<std::string, std::string>> environment;  // offered to the node, which may refuse
  std::function<std::string(const std::string& prompt, bool echo)>
      answer_prompt;  // keyboard-interactive; unset: given up
};

// Runs on this thread until the session ends; socket is connected to the node's SSH server. Gives the remote exit
// status (0–255), or an error that the user should read. The terminal is as it was before when it returns.
Result<int> run_session(UniqueFd socket, SessionOptions options);

// Signals that run_session takes over; call it first thing in main().
Status prepare_session_signals();

}  // namespace mezite::client
