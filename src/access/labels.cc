#include "access/labels.hh"

#include <re2/re2.h>

#include <algorithm>
#include <variant>

#include "access/template.hh"
#include "base/text.hh"

namespace mezite::access {
namespace {

constexpr std::size_t kMaxLabels = 256;
constexpr std::size_t kMaxKeyBytes = 128;
constexpr std::size_t kMaxValueBytes = 1024;
constexpr std::size_t kMaxSelectorKeys = 64;
constexpr std::size_t kMaxSelectorValues = 256;
constexpr std::size_t kMaxPatternBytes = 256;
constexpr std::int64_t kMaxPatternMemory = std::int64_t{1} << 18;

bool is_clean(std::string_view text) {
  return is_valid_utf8(text) && std::ranges::none_of(text, [](unsigned char c) { return c < 0x20 || c == 0x7f; });
}

// RE2 runs in time linear in the text whatever the pattern. Anchored at both ends by FullMatch, so that "^a|b$" is a or
// b and not "begins with a or ends with b".
Result<std::shared_ptr<const re2::RE2>> compile_pattern(std::string_view pattern) {
  if (pattern.size() > kMaxPatternBytes) {
    return fail(ErrorCode::kInvalidArgument, "the expression has {} bytes; at most {} are taken", pattern.size(),
                kMaxPatternBytes);
  }
  re2::RE2::Options options;
  options.set_log_errors(false);
  options.set_max_mem(kMaxPatternMemory);
  options.set_dot_nl(true);
  options.set_never_capture(true);
  auto compiled = std::make_shared<const re2::RE2>(re2::StringPiece(pattern.data(), pattern.size()), options);
  if (!compiled->ok()) {
    return fail(ErrorCode::kInvalidArgument, "'{}' is not a regular expression of RE2: {}", printable(pattern),
                printable(compiled->error()));
  }
  return compiled;
}

}  // namespace

Status check_labels(const Labels& labels) {
  if (labels.size() > kMaxLabels) {
    return fail(ErrorCode::kInvalidArgument, "{} labels; at most {} are taken", labels.size(), kMaxLabels);
  }
  for (const auto& [key, value] : labels) {
    if (key.empty() || key == "*" || key.size() > kMaxKeyBytes || !is_clean(key)) {
      return fail(ErrorCode::kInvalidArgument,
                  "'{}' can't be a label's name; it takes 1 to {} bytes of UTF-8 without control characters",
                  printable(std::string_view(key).substr(0, kMaxKeyBytes)), kMaxKeyBytes);
    }
    if (value.size() > kMaxValueBytes || !is_clean(value)) {
      return fail(ErrorCode::kInvalidArgument,
                  "the label '{}' has a value that is over {} bytes, not UTF-8 or holds control characters",
                  printable(key), kMaxValueBytes);
    }
  }
  return {};
}

Result<Labels> parse_labels(std::string_view text) {
  Labels labels;
  if (trim(text).empty()) return labels;
  for (std::string_view piece : split(text, ',')) {
    const std::size_t equals = piece.find('=');
    if (equals == piece.npos) {
      return fail(ErrorCode::kInvalidArgument, "'{}' is not a label; write name=value,name=value", printable(piece));
    }
    const std::string_view key = trim(piece.substr(0, equals));
    if (!labels.emplace(key, trim(piece.substr(equals + 1))).second) {
      return fail(ErrorCode::kInvalidArgument, "the label '{}' is there twice", printable(key));
    }
  }
  MEZ_CHECK(check_labels(labels));
  return labels;
}

struct LabelSelector::Compiled {
  struct Any {};
  struct Template {
    std::string text;
  };
  using Pattern = std::shared_ptr<const re2::RE2>;
  using Alternative = std::variant<Any, std::string, Template, Pattern>;
  struct Key {
    std::string name;
    std::vector<Alternative> alternatives;
  };
  bool every_node = false;  // "*": "*"
  std::vector<Key> keys;

  static bool matches(const Alternative& alternative, const std::string& value, const Traits& traits) {
    if (std::holds_alternative<Any>(alternative)) return true;
    if (const auto* text = std::get_if<std::string>(&alternative)) return *text == value;
    if (const auto* pattern = std::get_if<Pattern>(&alternative)) return re2::RE2::FullMatch(value, **pattern);
    // Values of traits are literal: a user whose trait is "*" or an expression does not get every node by it.
    return std::ranges::count(expand_template(std::get<Template>(alternative).text, traits), value) > 0;
  }
};

Result<LabelSelector> LabelSelector::compile(Entries entries) {
  auto compiled = std::make_shared<Compiled>();
  std::size_t values = 0;
  for (const auto& [key, alternatives] : entries) values += alternatives.size();
  if (entries.size() > kMaxSelectorKeys || values > kMaxSelectorValues) {
    return fail(ErrorCode::kInvalidArgument, "at most {} labels with {} values together are taken", kMaxSelectorKeys,
                kMaxSelectorValues);
  }
  for (const auto& [key, alternatives] : entries) {
    if (key.empty() || key.size() > kMaxKeyBytes || !is_clean(key)) {
      return fail(ErrorCode::kInvalidArgument, "'{}' can't be a label's name", printable(key));
    }
    if (key == "*") {
      if (alternatives != std::vector<std::string>{"*"}) {
        return fail(ErrorCode::kInvalidArgument, "'*' as a label's name takes only the value '*' (every node)");
      }
      compiled->every_node = true;
      continue;
    }
    if (alternatives.empty()) {
      return fail(ErrorCode::kInvalidArgument, "the label '{}' has no value; write '*' for any", printable(key));
    }
    Compiled::Key compiled_key{key, {}};
    for (const std::string& text : alternatives) {
      if (text.size() > kMaxValueBytes) {
        return fail(ErrorCode::kInvalidArgument, "a value of the label '{}' is over {} bytes", printable(key),
                    kMaxValueBytes);
      }
      if (text == "*") {
        compiled_key.alternatives.emplace_back(Compiled::Any{});
      } else if (text.size() >= 2 && text.starts_with('^') && text.ends_with('$')) {
        MEZ_TRY(auto pattern, compile_pattern(text));
        compiled_key.alternatives.emplace_back(std::move(pattern));
      } else if (is_template(text)) {
        MEZ_CHECK(check_template(text));
        compiled_key.alternatives.emplace_back(Compiled::Template{text});
      } else {
        compiled_key.alternatives.emplace_back(text);
      }
    }
    compiled->keys.push_back(std::move(compiled_key));
  }
  LabelSelector selector;
  selector.entries_ = std::move(entries);
  selector.compiled_ = std::move(compiled);
  return selector;
}

bool LabelSelector::matches(const Labels& labels, const Traits& traits) const {
  if (!compiled_ || (compiled_->keys.empty() && !compiled_->every_node)) return false;
  return std::ranges::all_of(compiled_->keys, [&](const Compiled::Key& key) {
    const auto label = labels.find(key.name);
    return label != labels.end() && std::ranges::any_of(key.alternatives, [&](const auto& alternative) {
             return Compiled::matches(alternative, label->second, traits);
           });
  });
}

}  // namespace mezite::access
