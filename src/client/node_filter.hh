// Which nodes `msh ls --search --label` shows.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "base/result.hh"
#include "client/web_api.hh"

namespace mezite::client {

class NodeFilter {
 public:
  // search: words, each of which must be somewhere in name, host name, label or value, whatever the case. labels:
  // "key=value", all of which must hold; "key=*" wants the key only.
  static Result<NodeFilter> make(const std::string& search, const std::vector<std::string>& labels);
  bool matches(const Node& node) const;

 private:
  std::vector<std::string> words_;
  std::vector<std::pair<std::string, std::string>> labels_;
};

}  // namespace mezite::client
