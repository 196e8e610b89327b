#include "access/document.hh"

#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/mark.h>
#include <yaml-cpp/parser.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>
#include <sstream>

#include "base/text.hh"

namespace mezite::access {
namespace {

constexpr std::size_t kMaxDepth = 16;

// Builds the tree from the events of either parser. Once it has an error it ignores what follows.
class Builder {
 public:
  void scalar(std::string text, bool quoted, int line) {
    if (error_) return;
    if (expects_key()) return set_key(std::move(text), line);
    Value value{.kind = Value::Kind::kScalar, .quoted = quoted, .line = line, .text = std::move(text)};
    add(std::move(value));
  }
  void null(int line) {
    if (error_) return;
    if (expects_key()) return fault(line, "a key can't be empty");
    add(Value{.line = line});
  }
  void begin(Value::Kind kind, int line) {
    if (error_) return;
    if (expects_key()) return fault(line, "a key must be plain text");
    if (open_.size() >= kMaxDepth) return fault(line, "nested too deeply");
    open_.push_back({Value{.kind = kind, .line = line}, {}});
  }
  void end() {
    if (error_) return;
    Value value = std::move(open_.back().value);
    open_.pop_back();
    add(std::move(value));
  }
  void fault(int line, std::string_view what) {
    if (error_) return;
    error_ = Error{ErrorCode::kInvalidArgument, line > 0 ? fmt::format("line {}: {}", line, what) : std::string(what)};
  }

  const std::optional<Error>& error() const { return error_; }
  Result<Value> take() {
    if (error_) return std::unexpected(*error_);
    return std::move(root_);
  }

 private:
  struct Open {
    Value value;
    std::optional<std::string> key;
  };
  bool expects_key() const {
    return !open_.empty() && open_.back().value.kind == Value::Kind::kMap && !open_.back().key;
  }
  void set_key(std::string key, int line) {
    auto& entries = open_.back().value.entries;
    if (std::ranges::any_of(entries, [&](const auto& entry) { return entry.first == key; })) {
      return fault(line, fmt::format("the key '{}' is there twice", printable(key)));
    }
    open_.back().key = std::move(key);
  }
  void add(Value value) {
    if (open_.empty()) {
      root_ = std::move(value);
    } else if (Open& parent = open_.back(); parent.value.kind == Value::Kind::kMap) {
      parent.value.entries.emplace_back(std::move(*parent.key), std::move(value));
      parent.key.reset();
    } else {
      parent.value.items.push_back(std::move(value));
    }
  }

  Value root_;
  std::vector<Open> open_;
  std::optional<Error> error_;
};

class YamlEvents final : public YAML::EventHandler {
 public:
  explicit YamlEvents(Builder& builder) : builder_(builder) {}
  void OnDocumentStart(const YAML::Mark&) override {}
  void OnDocumentEnd() override {}
  void OnNull(const YAML::Mark& mark, YAML::anchor_t) override { builder_.null(mark.line + 1); }
  void OnAlias(const YAML::Mark& mark, YAML::anchor_t) override {
    // An alias can make a small document enormous.
    builder_.fault(mark.line + 1, "aliases (*name) are not allowed; write the value out");
  }
  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t, const std::string& value) override {
    if (tag == "?" && (value == "null" || value == "~" || value.empty())) return builder_.null(mark.line + 1);
    builder_.scalar(value, tag == "!", mark.line + 1);
  }
  void OnSequenceStart(const YAML::Mark& mark, const std::string&, YAML::anchor_t, YAML::EmitterStyle::value) override {
    builder_.begin(Value::Kind::kList, mark.line + 1);
  }
  void OnSequenceEnd() override { builder_.end(); }
  void OnMapStart(const YAML::Mark& mark, const std::string&, YAML::anchor_t, YAML::EmitterStyle::value) override {
    builder_.begin(Value::Kind::kMap, mark.line + 1);
  }
  void OnMapEnd() override { builder_.end(); }

 private:
  Builder& builder_;
};

class JsonEvents final : public nlohmann::json_sax<nlohmann::json> {
 public:
  explicit JsonEvents(Builder& builder) : builder_(builder) {}
  bool null() override { return builder_.null(0), going(); }
  bool boolean(bool value) override { return plain(value ? "true" : "false"); }
  bool number_integer(number_integer_t value) override { return plain(std::to_string(value)); }
  bool number_unsigned(number_unsigned_t value) override { return plain(std::to_string(value)); }
  bool number_float(number_float_t, const string_t& text) override { return plain(text); }
  bool string(string_t& value) override { return builder_.scalar(value, true, 0), going(); }
  bool binary(binary_t&) override { return false; }
  bool start_object(std::size_t) override { return builder_.begin(Value::Kind::kMap, 0), going(); }
  bool key(string_t& value) override { return builder_.scalar(value, true, 0), going(); }
  bool end_object() override { return builder_.end(), going(); }
  bool start_array(std::size_t) override { return builder_.begin(Value::Kind::kList, 0), going(); }
  bool end_array() override { return builder_.end(), going(); }
  bool parse_error(std::size_t, const std::string&, const nlohmann::detail::exception&) override { return false; }

 private:
  bool plain(std::string text) { return builder_.scalar(std::move(text), false, 0), going(); }
  bool going() const { return !builder_.error(); }
  Builder& builder_;
};

}  // namespace

Result<Value> parse_document(std::string_view text, std::size_t limit_bytes) {
  if (text.size() > limit_bytes) {
    return fail(ErrorCode::kInvalidArgument, "the document has {} bytes; at most {} are taken", text.size(),
                limit_bytes);
  }
  if (!is_valid_utf8(text) || text.find('\0') != text.npos) {
    return fail(ErrorCode::kInvalidArgument, "the document is not UTF-8 text");
  }
  // JSON first: nearly all of it is YAML, but for its surrogate pairs.
  if (trim(text).starts_with('{')) {
    Builder builder;
    JsonEvents events(builder);
    if (nlohmann::json::sax_parse(text, &events)) return builder.take();
    if (builder.error()) return builder.take();
  }
  Builder builder;
  YamlEvents events(builder);
  try {
    std::istringstream stream{std::string(text)};
    YAML::Parser parser(stream);
    if (!parser.HandleNextDocument(events)) return fail(ErrorCode::kInvalidArgument, "the document is empty");
    if (!builder.error()) {
      Builder rest;
      YamlEvents rest_events(rest);
      if (parser.HandleNextDocument(rest_events)) {
        return fail(ErrorCode::kInvalidArgument, "there is more than one document; give them one at a time");
      }
    }
  } catch (const YAML::Exception& e) {
    if (builder.error()) return builder.take();
    return fail(ErrorCode::kInvalidArgument, "line {}, column {}: not valid YAML: {}", e.mark.line + 1,
                e.mark.column + 1, printable(e.msg));
  } catch (const std::exception& e) {
    return fail(ErrorCode::kInvalidArgument, "not valid YAML: {}", printable(e.what()));
  }
  return builder.take();
}

}  // namespace mezite::access
