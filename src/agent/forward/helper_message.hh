// What mezd and the helper process of a login user say to each other, over a SOCK_SEQPACKET pair: one struct a packet,
// a descriptor beside the answer. Both ends are one program, so the layout is that of the machine.
#pragma once

#include <cstdint>
#include <string_view>

namespace mezite::agent {

inline constexpr std::string_view kForwardHelperWord = "forward-helper";
inline constexpr std::size_t kSocketPathBytes = 108;  // sockaddr_un::sun_path, its NUL included

enum class HelperWork : std::uint32_t {
  kConnect = 1,  // to the Unix socket at path; the answer has the connected socket
  kListen,       // at path; the answer has the listening socket
  kListenAgent,  // in a new private folder; the answer has path and listening socket
  kRemove,       // a socket of kListen or kListenAgent, if it is still the one that was made
};

struct HelperRequest {
  std::uint32_t id = 0;
  HelperWork work = HelperWork::kConnect;
  char path[kSocketPathBytes] = "";
};

struct HelperReply {
  std::uint32_t id = 0;
  std::int32_t error = 0;  // errno; 0: done
  char path[kSocketPathBytes] = "";
};

}  // namespace mezite::agent
