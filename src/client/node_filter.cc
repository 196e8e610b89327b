#include "client/node_filter.hh"

#include <algorithm>

#include "base/ascii.hh"
#include "base/text.hh"

namespace mezite::client {

Result<NodeFilter> NodeFilter::make(const std::string& search, const std::vector<std::string>& labels) {
  NodeFilter filter;
  for (const std::string_view word : split(search, ' ')) {
    if (!word.empty()) filter.words_.push_back(lower(word));
  }
  for (const auto& label : labels) {
    const std::size_t equals = label.find('=');
    if (equals == std::string::npos || equals == 0) {
      return fail(ErrorCode::kInvalidArgument, "--label '{}': expected KEY=VALUE, e.g. --label env=prod",
                  printable(label));
    }
    filter.labels_.emplace_back(label.substr(0, equals), label.substr(equals + 1));
  }
  return filter;
}

bool NodeFilter::matches(const Node& node) const {
  std::string all = node.name + "\n" + node.hostname;
  for (const auto& [key, value] : node.labels) all.append("\n").append(key).append("=").append(value);
  all = lower(all);
  const auto in_text = [&all](const std::string& word) { return all.find(word) != std::string::npos; };
  const auto has_label = [&node](const auto& wanted) {
    const auto found = node.labels.find(wanted.first);
    return found != node.labels.end() && (wanted.second == "*" || wanted.second == found->second);
  };
  return std::ranges::all_of(words_, in_text) && std::ranges::all_of(labels_, has_label);
}

}  // namespace mezite::client
