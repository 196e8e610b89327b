#include "ssh/state_tables.hh"

#include "ssh/connection/states.hh"
#include "ssh/transport/message_table.hh"
#include "ssh/userauth/states.hh"

namespace mezite::ssh {

std::string state_tables_text() {
  std::string text = "A pair that is not listed is a protocol error.\n";
  const auto add = [&text](const char* title, const std::string& table) { text += "\n# " + (title + ("\n" + table)); };
  add("Transport: receiver, stage, message, action -> stages", print_message_table());
  add("Authentication, server: state: message", server_auth_rules_text());
  add("Authentication, client: state: message", client_auth_rules_text());
  add("Channels: state: message -> state", channel_rules_text());
  return text;
}

}  // namespace mezite::ssh
