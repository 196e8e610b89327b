// Every message of the SSH layers: what decodes must encode, and decode again to the same encoding.
#include <cstdlib>

#include "ssh/wire/messages.hh"

namespace {

using namespace mezite;
using namespace mezite::ssh;

template <class T>
void round_trip(BytesView input) {
  const auto value = decode<T>(input);
  if (!value) return;
  const Bytes once = encode(*value);
  const auto again = decode<T>(once);
  if (!again || encode(*again) != once) std::abort();
}

using Check = void (*)(BytesView);
constexpr Check kChecks[] = {
    round_trip<DisconnectMessage>,
    round_trip<IgnoreMessage>,
    round_trip<UnimplementedMessage>,
    round_trip<DebugMessage>,
    round_trip<ServiceRequest>,
    round_trip<ServiceAccept>,
    round_trip<ExtInfo>,
    round_trip<KexInit>,
    round_trip<NewKeys>,
    round_trip<KexEcdhInit>,
    round_trip<KexEcdhReply>,
    round_trip<Ping>,
    round_trip<Pong>,
    round_trip<UserauthRequest>,
    round_trip<UserauthPublickey>,
    round_trip<UserauthPublickeySigned>,
    round_trip<UserauthPassword>,
    round_trip<UserauthKeyboardInteractive>,
    round_trip<UserauthFailure>,
    round_trip<UserauthSuccess>,
    round_trip<UserauthBanner>,
    round_trip<UserauthPkOk>,
    round_trip<UserauthInfoRequest>,
    round_trip<UserauthInfoResponse>,
    round_trip<wire::GlobalRequest>,
    round_trip<wire::RequestSuccess>,
    round_trip<wire::RequestFailure>,
    round_trip<wire::ChannelOpen>,
    round_trip<wire::ChannelOpenConfirmation>,
    round_trip<wire::ChannelOpenFailure>,
    round_trip<wire::ChannelWindowAdjust>,
    round_trip<wire::ChannelData>,
    round_trip<wire::ChannelExtendedData>,
    round_trip<wire::ChannelEof>,
    round_trip<wire::ChannelClose>,
    round_trip<wire::ChannelRequest>,
    round_trip<wire::ChannelSuccess>,
    round_trip<wire::ChannelFailure>,
    round_trip<wire::DirectTcpip>,
    round_trip<wire::ForwardedTcpip>,
    round_trip<wire::X11Open>,
    round_trip<wire::DirectStreamlocal>,
    round_trip<wire::TcpipForward>,
    round_trip<wire::PtyRequest>,
    round_trip<wire::X11Request>,
    round_trip<wire::EnvRequest>,
    round_trip<wire::ExecRequest>,
    round_trip<wire::SubsystemRequest>,
    round_trip<wire::WindowChangeRequest>,
    round_trip<wire::SignalRequest>,
    round_trip<wire::ExitStatusRequest>,
    round_trip<wire::ExitSignalRequest>,
    round_trip<UserauthPublickeyHostbound>,
    round_trip<wire::ForwardedStreamlocal>,
    round_trip<wire::StreamlocalForward>,
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  kChecks[data[0] % std::size(kChecks)](BytesView(data + 1, size - 1));
  return 0;
}
