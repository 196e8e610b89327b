// What a session and a file transfer have in common until the node has let them in.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.hh"
#include "base/result.hh"
#include "ssh/endpoint/client.hh"

namespace mezite::client {

// Asks the person at the terminal; the prompt is printable, echo says whether the answer may be seen.
using PromptAnswerer = std::function<std::string(const std::string& prompt, bool echo)>;

// A login with these identities; keyboard-interactive only where somebody answers.
ssh::ClientConfig node_client_config(std::string login, std::vector<ssh::Identity> identities,
                                     const PromptAnswerer& answer);

// Puts each prompt to `answer`, wiping what it gives; gives up where that is unset.
void answer_challenge(const ssh::KeyboardInteractiveChallenge& challenge, const PromptAnswerer& answer,
                      ssh::ChallengeResponder responder);

// Whether this is the node: a host certificate of the CAs for that name, valid now.
Status check_node_certificate(const ssh::PublicKey& key, const ssh::Certificate* certificate,
                              std::span<const ssh::PublicKey> host_cas, std::string_view node, SystemTime now);

// What a node says before it has been let near the terminal: several lines, and nothing else that moves a cursor.
std::string safe_lines(std::string_view text);

}  // namespace mezite::client
