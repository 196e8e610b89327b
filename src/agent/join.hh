// Joining a hub: once in the life of a data folder.
#pragma once

#include <functional>

#include "agent/hub/identity.hh"
#include "agent/settings/config.hh"

namespace mezite::agent {

// "<secret>.<pin>": the pin, in lower case; an error for anything else.
Result<std::string> pin_of_token(std::string_view token);

// "<id>.<pin>" or "<id>", of method iam, and MEZITE_CA_PIN ("" or 64 hexadecimal digits): the pins that the hub must
// show, at least one.
Result<std::vector<std::string>> iam_pins(std::string_view token, const std::string& ca_pin);

// Waits that long; false: stop now.
using Pause = std::function<bool(std::chrono::milliseconds)>;

// Checks the hub's pin, joins with the token, keeps the identity in the folder. A hub that can't be reached is tried
// for ever, with back-off and a line in the log each time; anything else that goes wrong is final. Nothing: pause()
// said to stop.
Result<std::optional<AgentIdentity>> join(const Config& config, const IdentityFolder& folder, const Pause& pause);

}  // namespace mezite::agent
