#include "agent/kernel/audit_records.hh"

#include <arpa/inet.h>
#include <linux/audit.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <charconv>
#include <cstring>

#include "base/bytes.hh"

namespace mezite::agent {
namespace {

#if defined(__x86_64__)
constexpr SystemCalls kSystemCalls[] = {
    {AUDIT_ARCH_X86_64, 59, 322, 231, 41, 42, 44, 46, 307},
    {AUDIT_ARCH_I386, 11, 358, 252, 359, 362, 369, 370, 345},
};
#else
constexpr SystemCalls kSystemCalls[] = {
    {AUDIT_ARCH_AARCH64, 221, 281, 94, 198, 203, 206, 211, 269},
    {AUDIT_ARCH_ARM, 11, 387, 248, 281, 283, 290, 296, 374},
};
#endif

template <class Number>
std::optional<Number> number(std::string_view text, int base = 10) {
  Number value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

// "name=value name="a text"": calls back with each. Values are quoted, or hexadecimal when they hold what a quote could
// not, so neither blanks nor quotes stand inside one.
template <class Take>
void each_field(std::string_view text, const Take& take) {
  while (!text.empty()) {
    const std::size_t begin = text.find_first_not_of(" \n\x1d");
    if (begin == std::string_view::npos) return;
    text.remove_prefix(begin);
    const std::size_t end = std::min(text.find_first_of(" \n\x1d"), text.size());
    const std::string_view field = text.substr(0, end);
    text.remove_prefix(end);
    const std::size_t equals = field.find('=');
    if (equals != std::string_view::npos) take(field.substr(0, equals), field.substr(equals + 1));
  }
}

std::string_view value_of(std::string_view fields, std::string_view wanted) {
  std::string_view found;
  each_field(fields, [&](std::string_view name, std::string_view value) {
    if (found.empty() && name == wanted) found = value;
  });
  return found;
}

// A text as the kernel writes it when users could have chosen it.
std::string untrusted(std::string_view value) {
  if (value.size() >= 2 && value.front() == '"' && value.back() == '"')
    return std::string(value.substr(1, value.size() - 2));
  if (value == "(null)") return {};
  const auto bytes = from_hex(value);
  return bytes ? std::string(as_text(*bytes)) : std::string(value);
}

std::uint32_t protocol_of(std::uint32_t type, std::uint32_t protocol) {
  if (protocol != 0) return protocol;
  switch (type & 0xf) {
    case SOCK_STREAM: return IPPROTO_TCP;
    case SOCK_DGRAM: return IPPROTO_UDP;
    default: return 0;
  }
}

void take_address(std::string_view hex, AuditEvent& event) {
  const auto bytes = from_hex(hex);
  if (!bytes || bytes->size() < sizeof(sa_family_t)) return;
  sockaddr_storage held{};
  std::memcpy(&held, bytes->data(), std::min(bytes->size(), sizeof held));
  char text[INET6_ADDRSTRLEN] = {};
  if (held.ss_family == AF_INET && bytes->size() >= 8) {
    sockaddr_in v4;
    std::memcpy(&v4, &held, sizeof v4);
    ::inet_ntop(AF_INET, &v4.sin_addr, text, sizeof text);
    event.port = ntohs(v4.sin_port);
  } else if (held.ss_family == AF_INET6 && bytes->size() >= 24) {
    sockaddr_in6 v6;
    std::memcpy(&v6, &held, sizeof v6);
    ::inet_ntop(AF_INET6, &v6.sin6_addr, text, sizeof text);
    event.port = ntohs(v6.sin6_port);
  }
  event.address = text;
}

// "a0", "a1[2]" are arguments or pieces of one; "a1_len" is not.
bool is_argument(std::string_view name) {
  if (name.size() < 2 || name[0] != 'a' || name[1] < '0' || name[1] > '9') return false;
  return !name.ends_with("_len");
}

void take_arguments(std::string_view fields, AuditEvent& event) {
  each_field(fields, [&](std::string_view name, std::string_view value) {
    if (!is_argument(name) || event.arguments_cut) return;
    const std::size_t piece = name.find('[');
    // The pieces of a long argument follow each other: the NUL of the one before is taken back.
    if (piece != std::string_view::npos && name.substr(piece) != "[0]" && !event.arguments.empty()) {
      event.arguments.pop_back();
    }
    event.arguments += untrusted(value);
    event.arguments.push_back('\0');
    if (event.arguments.size() <= AuditRecords::kMaxArgumentBytes) return;
    event.arguments.resize(AuditRecords::kMaxArgumentBytes);
    event.arguments_cut = true;
  });
}

std::optional<AuditEvent> take_login(std::string_view fields) {
  AuditEvent event{.kind = AuditEvent::Kind::kNewSession};
  const auto before = number<std::uint32_t>(value_of(fields, "old-ses"));
  const auto after = number<std::uint32_t>(value_of(fields, "ses"));
  const auto pid = number<std::uint32_t>(value_of(fields, "pid"));
  if (!before || !after || !pid || value_of(fields, "res") != "1") return std::nullopt;
  event.session = *before;
  event.new_session = *after;
  event.pid = *pid;
  return event;
}

}  // namespace

std::span<const SystemCalls, 2> system_calls() { return kSystemCalls; }

void AuditRecords::system_call(std::string_view fields, Open& open) {
  AuditEvent& event = open.event;
  const SystemCalls* calls = nullptr;
  std::uint32_t call = 0, arguments[4] = {};
  bool success = false;
  std::uint32_t returned = 0;
  each_field(fields, [&](std::string_view name, std::string_view value) {
    const auto take = [value](std::uint32_t& into) { into = number<std::uint32_t>(value).value_or(into); };
    if (name == "arch") {
      const auto architecture = number<std::uint32_t>(value, 16);
      for (const SystemCalls& known : kSystemCalls) {
        if (architecture == known.architecture) calls = &known;
      }
    } else if (name == "syscall") {
      take(call);
    } else if (name == "success") {
      success = value == "yes";
    } else if (name == "exit") {
      take(returned);
    } else if (name.size() == 2 && name[0] == 'a' && name[1] >= '0' && name[1] <= '3') {
      // A register: its lower half is the int that is meant.
      arguments[name[1] - '0'] = static_cast<std::uint32_t>(number<std::uint64_t>(value, 16).value_or(0));
    } else if (name == "ppid") {
      take(event.ppid);
    } else if (name == "pid") {
      take(event.pid);
    } else if (name == "uid") {
      take(event.uid);
    } else if (name == "ses") {
      take(event.session);
    } else if (name == "comm") {
      event.program = untrusted(value);
    } else if (name == "exe") {
      event.path = untrusted(value);
    }
  });
  if (calls == nullptr || event.session == 0) return;
  using Kind = AuditEvent::Kind;
  if (call == calls->execve || call == calls->execveat) {
    event.kind = Kind::kProgram;
    open.counts = success;
  } else if (call == calls->exit_group) {
    event.kind = Kind::kExit;
    event.exit_code = arguments[0] & 0xff;
    open.counts = true;
  } else if (call == calls->socket) {
    event.kind = Kind::kSocket;
    event.descriptor = returned;
    event.protocol = protocol_of(arguments[1], arguments[2]);
    open.counts = success;
  } else {
    event.kind = Kind::kConnection;
    event.descriptor = arguments[0];
    open.counts = true;  // its address decides
  }
}

std::optional<AuditEvent> AuditRecords::take(std::uint16_t type, std::string_view text) {
  // "audit(SECONDS.MILLISECONDS:SERIAL): "
  const std::size_t colon = text.find(':');
  const std::size_t end = text.find("):");
  if (!text.starts_with("audit(") || colon == std::string_view::npos || end == std::string_view::npos || colon > end) {
    return std::nullopt;
  }
  const auto serial = number<std::uint64_t>(text.substr(colon + 1, end - colon - 1));
  if (!serial) return std::nullopt;
  const std::string_view fields = text.substr(end + 2);
  if (type == AUDIT_LOGIN) return take_login(fields);
  if (type == AUDIT_SYSCALL) {
    if (open_.size() >= kMaxOpen) open_.erase(open_.begin());
    system_call(fields, open_[*serial]);
    return std::nullopt;
  }
  const auto found = open_.find(*serial);
  if (found == open_.end()) return std::nullopt;
  AuditEvent& event = found->second.event;
  switch (type) {
    case AUDIT_EXECVE: take_arguments(fields, event); break;
    case AUDIT_SOCKADDR: take_address(value_of(fields, "saddr"), event); break;
    case AUDIT_PATH:
      // The first is what was called; of a script that is not the interpreter that runs (exe).
      if (event.kind == AuditEvent::Kind::kProgram && value_of(fields, "item") == "0") {
        if (std::string path = untrusted(value_of(fields, "name")); !path.empty()) event.path = std::move(path);
      }
      break;
    case AUDIT_EOE: {
      const bool counts = found->second.counts;
      AuditEvent whole = std::move(event);
      open_.erase(found);
      if (!counts || (whole.kind == AuditEvent::Kind::kConnection && whole.address.empty())) return std::nullopt;
      return whole;
    }
    default: break;
  }
  return std::nullopt;
}

}  // namespace mezite::agent
