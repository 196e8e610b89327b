#include "client/forward_spec.hh"

#include <charconv>
#include <vector>

#include "base/text.hh"

namespace mezite::client {
namespace {

constexpr std::size_t kMaxPathBytes = 107;  // sockaddr_un
constexpr std::size_t kMaxHostBytes = 253;

struct Field {
  std::string text;
  bool bracketed = false;
  bool is_path() const { return !bracketed && text.find('/') != std::string::npos; }
};

std::unexpected<Error> refuse(std::string_view flag, std::string_view text, std::string_view why) {
  std::string_view form = flag == "-D"   ? "[BIND:]PORT"
                          : flag == "-W" ? "HOST:PORT"
                          : flag == "-L" ? "[BIND:]PORT:HOST:PORT or /SOCKET:/SOCKET"
                                         : "[BIND:]PORT[:HOST:PORT] or /SOCKET:/SOCKET";
  return fail(ErrorCode::kInvalidArgument, "{} {}: {}; expected {}", flag, printable(text.substr(0, 200)), why, form);
}

// Cut at ':' outside of brackets.
bool split_fields(std::string_view text, std::vector<Field>& fields) {
  for (;;) {
    Field field;
    if (text.starts_with('[')) {
      std::size_t end = text.find(']');
      if (end == std::string_view::npos) return false;
      field = {std::string(text.substr(1, end - 1)), true};
      text.remove_prefix(end + 1);
      if (!text.empty() && text[0] != ':') return false;
    } else {
      field.text = text.substr(0, text.find(':'));
      text.remove_prefix(field.text.size());
    }
    fields.push_back(std::move(field));
    if (text.empty()) return true;
    text.remove_prefix(1);
    if (fields.size() > 4) return false;
  }
}

bool read_port(const Field& field, std::uint16_t& port) {
  const char* end = field.text.data() + field.text.size();
  auto [last, error] = std::from_chars(field.text.data(), end, port);
  return !field.bracketed && error == std::errc{} && last == end && !field.text.empty();
}

bool read_host(const Field& field, std::string& host) {
  if (field.text.size() > kMaxHostBytes || printable(field.text) != field.text || field.is_path()) return false;
  host = field.text;
  return true;
}

bool read_path(const Field& field, std::string& path) {
  if (!field.is_path() || field.text.size() > kMaxPathBytes) return false;
  path = field.text;
  return true;
}

// The bind address before a port; given and empty means every address, as "*" does.
bool read_bind(const Field& field, std::string& host) {
  if (!read_host(field, host)) return false;
  if (host.empty()) host = "*";
  return true;
}

enum class Target { kRequired, kOptional };

bool parse_fields(const std::vector<Field>& fields, Target wanted, ForwardSpec& spec, bool& dynamic) {
  ForwardPoint& listen = spec.listen;
  ForwardPoint& target = spec.target;
  std::size_t used = 0;
  if (fields[0].is_path()) {
    if (!read_path(fields[0], listen.path)) return false;
    used = 1;
  } else if (fields.size() >= 2 && !fields[1].is_path() && read_port(fields[1], listen.port) &&
             (fields.size() == 2 || fields.size() == 4 || fields[2].is_path())) {
    if (!read_bind(fields[0], listen.host)) return false;
    used = 2;
  } else {
    if (!read_port(fields[0], listen.port)) return false;
    used = 1;
  }
  std::size_t left = fields.size() - used;
  dynamic = left == 0;
  if (left == 0) return wanted == Target::kOptional;
  if (left == 1) return read_path(fields[used], target.path);
  return left == 2 && read_host(fields[used], target.host) && !target.host.empty() &&
         read_port(fields[used + 1], target.port) && target.port != 0;
}

}  // namespace

std::string ForwardPoint::text() const {
  if (is_socket()) return path;
  std::string_view shown = host.empty() ? "localhost" : std::string_view(host);
  return shown.find(':') != std::string_view::npos ? fmt::format("[{}]:{}", shown, port)
                                                   : fmt::format("{}:{}", shown, port);
}

Result<ForwardSpec> parse_local_forward(std::string_view text) {
  std::vector<Field> fields;
  ForwardSpec spec{.kind = ForwardKind::kLocal, .listen = {}, .target = {}};
  bool dynamic = false;
  if (!split_fields(text, fields) || !parse_fields(fields, Target::kRequired, spec, dynamic)) {
    return refuse("-L", text, "not a forward");
  }
  if (!spec.listen.is_socket() && spec.listen.port == 0) return refuse("-L", text, "port 0 can't be listened on");
  return spec;
}

Result<ForwardSpec> parse_remote_forward(std::string_view text) {
  std::vector<Field> fields;
  ForwardSpec spec{.kind = ForwardKind::kRemote, .listen = {}, .target = {}};
  bool dynamic = false;
  if (!split_fields(text, fields) || !parse_fields(fields, Target::kOptional, spec, dynamic)) {
    return refuse("-R", text, "not a forward");
  }
  if (dynamic) spec.kind = ForwardKind::kRemoteDynamic;
  return spec;
}

Result<ForwardSpec> parse_dynamic_forward(std::string_view text) {
  std::vector<Field> fields;
  ForwardSpec spec{.kind = ForwardKind::kDynamic, .listen = {}, .target = {}};
  bool dynamic = false;
  if (!split_fields(text, fields) || !parse_fields(fields, Target::kOptional, spec, dynamic) || !dynamic ||
      (!spec.listen.is_socket() && spec.listen.port == 0)) {
    return refuse("-D", text, "not a port to listen on");
  }
  return spec;
}

Result<ForwardPoint> parse_stdio_forward(std::string_view text) {
  std::vector<Field> fields;
  ForwardPoint target;
  if (!split_fields(text, fields) || fields.size() > 2) return refuse("-W", text, "not an address");
  if (fields.size() == 1 && read_path(fields[0], target.path)) return target;
  if (fields.size() != 2 || !read_host(fields[0], target.host) || target.host.empty() ||
      !read_port(fields[1], target.port) || target.port == 0) {
    return refuse("-W", text, "not an address");
  }
  return target;
}

}  // namespace mezite::client
