#include "agent/session/events.hh"

namespace mezite::agent {

audit::Event node_event(audit::EventKind kind, const NodeFacts& node, const Clock& clock) {
  audit::Event event = audit::make_event(kind, clock);
  event.resource_type = "node";
  event.resource_name = node.node_name;
  event.resource_labels = node.labels;
  event.server_id = node.node_id;
  event.server_hostname = node.node_name;
  return event;
}

audit::Event user_event(audit::EventKind kind, const NodeFacts& node, const Principal& principal,
                        std::string_view client_ip, const Clock& clock) {
  audit::Event event = node_event(kind, node, clock);
  event.user_name = principal.user;
  event.user_roles = principal.roles;
  event.client_ip = std::string(client_ip);
  return event;
}

audit::Event denial_event(const Denial& denial, const NodeFacts& node, std::string_view login,
                          std::string_view client_ip, const Clock& clock) {
  audit::Event event = node_event(denial.kind, node, clock);
  event.user_name = denial.user;
  event.user_roles = denial.roles;
  event.client_ip = std::string(client_ip);
  event.success = false;
  event.error_message = denial.explanation;
  audit::Details details;
  details.add("reason", denial.reason).add("login", login);
  if (!denial.steps.empty()) details.add("steps", denial.steps);
  event.details = details.text();
  return event;
}

}  // namespace mezite::agent
