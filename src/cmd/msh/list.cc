#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/text.hh"
#include "client/document.hh"
#include "client/node_filter.hh"
#include "client/ssh_config.hh"
#include "client/table.hh"
#include "cmd/msh/commands.hh"
#include "cmd/msh/session.hh"

namespace mezite::msh {
namespace {

using Json = nlohmann::ordered_json;

void print_document(const Json& json, Format format) {
  if (format == Format::kYaml) {
    print(client::json_to_yaml(json));
  } else {
    print(json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n");
  }
}

}  // namespace

Result<int> status(const std::string& proxy, Format format) {
  MEZ_TRY(const auto home, client::Home::from_environment());
  MEZ_TRY(const auto profile, find_profile(home, proxy));
  if (profile.session_token.empty()) {
    return fail(ErrorCode::kUnauthenticated, "not logged in to {0}; run `msh login --proxy={0}`", profile.proxy);
  }
  const bool expired = profile.expired(system_clock().now());
  if (format == Format::kText) {
    client::Fields fields;
    fields.add("User", profile.user);
    fields.add("Cluster", profile.cluster);
    fields.add("Proxy", profile.proxy);
    fields.add("SSH", profile.ssh_addr);
    fields.add("Roles", join(profile.roles, ", "));
    fields.add("Logins", join(profile.logins, ", "));
    fields.add(expired ? "Expired" : "Valid until",
               client::shown_time(to_unix_millis(profile.expires_at), system_clock().now()));
    print(fields.text());
  } else {
    print_document(Json{{"user", profile.user},
                        {"cluster", profile.cluster},
                        {"proxy", profile.proxy},
                        {"ssh_addr", profile.ssh_addr},
                        {"roles", profile.roles},
                        {"logins", profile.logins},
                        {"expires_at", to_rfc3339(profile.expires_at)},
                        {"expired", expired}},
                   format);
  }
  if (expired) note(fmt::format("your session is over; run `msh login --proxy={}`", profile.proxy));
  return expired ? 1 : 0;
}

Result<int> list_nodes(const ListOptions& options) {
  MEZ_TRY(const auto filter, client::NodeFilter::make(options.search, options.labels));
  MEZ_TRY(auto session, open_session(options.proxy));
  MEZ_TRY(auto nodes, session.api.nodes());
  keep_trust(session);
  std::erase_if(nodes, [&filter](const client::Node& node) { return !filter.matches(node); });
  std::ranges::sort(nodes, {}, &client::Node::name);
  if (options.format == Format::kText) {
    client::Table table({"NAME", "HOSTNAME", "LABELS", "LOGINS", "STATE"});
    for (const auto& node : nodes) {
      table.add({node.name, node.hostname, client::shown_labels(node.labels), join(node.logins, ", "),
                 node.connected ? "connected" : "offline"});
    }
    if (table.empty()) {
      note("no nodes that you may reach; ask an administrator, or look at `msh status` for your roles");
    } else {
      print(table.text(client::colour_of(1)));
    }
    return 0;
  }
  Json list = Json::array();
  for (const auto& node : nodes) {
    list.push_back(Json{{"name", node.name},
                        {"hostname", node.hostname},
                        {"labels", node.labels},
                        {"logins", node.logins},
                        {"connected", node.connected}});
  }
  print_document(list, options.format);
  return 0;
}

Result<int> print_config(const std::string& proxy) {
  MEZ_TRY(const auto home, client::Home::from_environment());
  MEZ_TRY(const auto profile, find_profile(home, proxy));
  const auto files = home.identity(profile);
  MEZ_TRY(const std::string text, client::make_ssh_config(profile, {files.key, files.certificate, home.known_hosts()}));
  print(text);
  return 0;
}

}  // namespace mezite::msh
