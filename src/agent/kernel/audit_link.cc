#include "agent/kernel/audit_link.hh"

#include <linux/netlink.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <cerrno>
#include <charconv>
#include <cstring>

namespace mezite::agent {
namespace {

constexpr int kReceiveBytes = 32 << 20;
constexpr std::uint32_t kReadLogGroup = 1;  // AUDIT_NLGRP_READLOG
constexpr std::size_t kMaxRules = 10'000;

Result<UniqueFd> audit_socket(std::uint32_t groups) {
  UniqueFd socket(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_AUDIT));
  if (!socket) return fail_errno(errno, "opening the kernel's audit socket");
  sockaddr_nl address{};
  address.nl_family = AF_NETLINK;
  address.nl_groups = groups;
  if (::bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    return fail_errno(errno, "listening to the kernel's audit records");
  }
  return socket;
}

std::span<const std::uint8_t> bytes_of(const void* data, std::size_t size) {
  return {static_cast<const std::uint8_t*>(data), size};
}

// The rule without its text, which follows. False when it is shorter than it says.
bool read_head(BytesView rule, audit_rule_data& head) {
  if (rule.size() < sizeof head) return false;
  std::memcpy(&head, rule.data(), sizeof head);
  return head.field_count <= AUDIT_MAX_FIELDS && head.buflen <= rule.size() - sizeof head;
}

// The texts of a rule stand one after the other in the order of the fields that have one; ours has the key alone.
std::string_view key_of(BytesView rule) {
  audit_rule_data head{};
  if (!read_head(rule, head)) return {};
  const std::string_view texts = as_text(rule.subspan(sizeof head, head.buflen));
  for (std::uint32_t i = 0; i < head.field_count; ++i) {
    if (head.fields[i] == AUDIT_FILTERKEY && head.values[i] == texts.size()) return texts;
  }
  return {};
}

}  // namespace

Result<AuditLink> AuditLink::open() {
  MEZ_TRY(UniqueFd socket, audit_socket(0));
  const timeval patience{.tv_sec = 2, .tv_usec = 0};
  ::setsockopt(socket.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  return AuditLink(std::move(socket));
}

Status AuditLink::request(std::uint16_t type, BytesView body, const Answer& answer) {
  nlmsghdr head{};
  head.nlmsg_len = static_cast<std::uint32_t>(NLMSG_HDRLEN + body.size());
  head.nlmsg_type = type;
  head.nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK;
  head.nlmsg_seq = ++sequence_;
  Bytes message(NLMSG_HDRLEN + body.size());
  std::memcpy(message.data(), &head, sizeof head);
  if (!body.empty()) std::memcpy(message.data() + NLMSG_HDRLEN, body.data(), body.size());
  sockaddr_nl kernel{};
  kernel.nl_family = AF_NETLINK;
  if (::sendto(socket_.get(), message.data(), message.size(), 0, reinterpret_cast<const sockaddr*>(&kernel),
               sizeof kernel) < 0) {
    return fail_errno(errno, "asking the kernel's audit subsystem");
  }
  // The answers and the acknowledgement; a list ends with NLMSG_DONE and has its acknowledgement before it.
  const bool is_list = type == AUDIT_LIST_RULES;
  const bool has_answer = answer != nullptr;
  bool acknowledged = false, answered = !has_answer;
  std::vector<char> buffer(16384);
  while (!acknowledged || !answered) {
    const ssize_t size = ::recv(socket_.get(), buffer.data(), buffer.size(), 0);
    if (size < 0 && errno == EINTR) continue;
    if (size < 0) return fail_errno(errno, "waiting for the kernel's audit subsystem");
    nlmsghdr got;
    if (static_cast<std::size_t>(size) < sizeof got) continue;
    std::memcpy(&got, buffer.data(), sizeof got);
    if (got.nlmsg_seq != head.nlmsg_seq) continue;  // of an earlier request that was given up
    const BytesView rest = bytes_of(buffer.data(), static_cast<std::size_t>(size)).subspan(NLMSG_HDRLEN);
    if (got.nlmsg_type == NLMSG_ERROR) {
      std::int32_t error = 0;
      if (rest.size() >= sizeof error) std::memcpy(&error, rest.data(), sizeof error);
      if (error != 0) return fail_errno(-error, "asking the kernel's audit subsystem");
      acknowledged = true;
    } else if (got.nlmsg_type == NLMSG_DONE) {
      answered = true;
    } else if (has_answer) {
      answer(got.nlmsg_type, rest);
      if (!is_list) answered = true;
    }
  }
  return {};
}

Result<audit_status> AuditLink::status() {
  audit_status status{};
  MEZ_CHECK(request(AUDIT_GET, {}, [&status](std::uint16_t, BytesView body) {
    std::memcpy(&status, body.data(), std::min(body.size(), sizeof status));  // older kernels tell less
  }));
  return status;
}

Status AuditLink::set_enabled(bool enabled) {
  audit_status wish{};
  wish.mask = AUDIT_STATUS_ENABLED;
  wish.enabled = enabled ? 1 : 0;
  return request(AUDIT_SET, bytes_of(&wish, sizeof wish));
}

Status AuditLink::set_backlog_limit(std::uint32_t records) {
  audit_status wish{};
  wish.mask = AUDIT_STATUS_BACKLOG_LIMIT;
  wish.backlog_limit = records;
  return request(AUDIT_SET, bytes_of(&wish, sizeof wish));
}

Status AuditLink::add(const AuditRule& rule, std::string_view key) {
  audit_rule_data head{};
  head.flags = AUDIT_FILTER_EXIT;
  head.action = AUDIT_ALWAYS;
  const auto field = [&head](std::uint32_t name, std::uint32_t comparison, std::uint32_t value) {
    head.fields[head.field_count] = name;
    head.fieldflags[head.field_count] = comparison;
    head.values[head.field_count++] = value;
  };
  field(AUDIT_ARCH, AUDIT_EQUAL, rule.architecture);
  for (const AuditRule::Field& next : rule.fields) field(next.name, next.comparison, next.value);
  field(AUDIT_FILTERKEY, AUDIT_EQUAL, static_cast<std::uint32_t>(key.size()));
  for (const std::uint32_t call : rule.system_calls) head.mask[AUDIT_WORD(call)] |= AUDIT_BIT(call);
  head.buflen = static_cast<std::uint32_t>(key.size());
  Bytes body(sizeof head + key.size());
  std::memcpy(body.data(), &head, sizeof head);
  std::memcpy(body.data() + sizeof head, key.data(), key.size());
  return request(AUDIT_ADD_RULE, body);
}

Status AuditLink::remove(BytesView rule) { return request(AUDIT_DEL_RULE, rule); }

Result<std::vector<Bytes>> AuditLink::rules() {
  std::vector<Bytes> rules;
  MEZ_CHECK(request(AUDIT_LIST_RULES, {}, [&rules](std::uint16_t type, BytesView body) {
    if (type == AUDIT_LIST_RULES && rules.size() < kMaxRules) rules.emplace_back(body.begin(), body.end());
  }));
  return rules;
}

Status AuditLink::remove_all(std::string_view key) {
  MEZ_TRY(const auto held, rules());
  for (const Bytes& rule : held) {
    if (key_of(rule) == key) MEZ_CHECK(remove(rule));
  }
  return {};
}

Status AuditLink::remove_left_overs() {
  MEZ_TRY(const auto held, rules());
  for (const Bytes& rule : held) {
    std::string_view key = key_of(rule);
    if (!key.starts_with(kAuditKeyPrefix)) continue;
    key.remove_prefix(kAuditKeyPrefix.size());
    pid_t owner = 0;
    const auto parsed = std::from_chars(key.data(), key.data() + key.size(), owner);
    if (parsed.ec != std::errc{} || owner <= 0 || (::kill(owner, 0) == 0 || errno != ESRCH)) continue;
    MEZ_CHECK(remove(rule));
  }
  return {};
}

Result<bool> AuditLink::has_rules() {
  MEZ_TRY(const auto held, rules());
  for (const Bytes& rule : held) {
    audit_rule_data head{};
    const bool whole = read_head(rule, head);
    if (whole && (head.flags & ~std::uint32_t{AUDIT_FILTER_PREPEND}) == AUDIT_FILTER_TASK &&
        head.action == AUDIT_NEVER) {
      return fail(ErrorCode::kFailedPrecondition,
                  "a rule of this node turns the auditing of system calls off (see auditctl -l: task,never)");
    }
  }
  return !held.empty();
}

Result<AuditStream> AuditStream::open() {
  MEZ_TRY(UniqueFd socket, audit_socket(kReadLogGroup));
  ::setsockopt(socket.get(), SOL_SOCKET, SO_RCVBUFFORCE, &kReceiveBytes, sizeof kReceiveBytes);
  return AuditStream(std::move(socket));
}

AuditStream::Got AuditStream::next(int timeout_ms, std::uint16_t& type, std::string_view& text) {
  sockaddr_nl from{};
  const auto receive = [&]() -> ssize_t {
    socklen_t length = sizeof from;
    return ::recvfrom(socket_.get(), buffer_.data(), buffer_.size(), MSG_DONTWAIT, reinterpret_cast<sockaddr*>(&from),
                      &length);
  };
  ssize_t size = receive();
  if (size < 0 && errno == EAGAIN) {
    pollfd wait{.fd = socket_.get(), .events = POLLIN, .revents = 0};
    if (::poll(&wait, 1, timeout_ms) <= 0) return Got::kNothing;
    size = receive();
  }
  if (size < 0) return errno == ENOBUFS ? Got::kLost : Got::kNothing;
  nlmsghdr head;
  if (static_cast<std::size_t>(size) < sizeof head) return Got::kNothing;
  std::memcpy(&head, buffer_.data(), sizeof head);
  if (from.nl_pid != 0) head.nlmsg_type = NLMSG_NOOP;  // not the kernel
  // The length in the head does not count the head itself in some kernels; the datagram's does.
  type = head.nlmsg_type;
  text = {buffer_.data() + NLMSG_HDRLEN, static_cast<std::size_t>(size) - NLMSG_HDRLEN};
  text = text.substr(0, text.find('\0'));
  return Got::kRecord;
}

}  // namespace mezite::agent
