// First byte: which parser. Channel opens, channel requests and global requests (a uint8 size, the name, the payload)
// must encode to what was read; messages about host keys; the identification line; two KEXINITs (a uint16 size, the
// client's, the server's).
#include <algorithm>

#include "silent_transport.hh"
#include "ssh/connection/request_codec.hh"
#include "ssh/endpoint/host_keys.hh"
#include "ssh/kex/negotiation.hh"
#include "ssh/transport/identification.hh"
#include "ssh/wire/connection_messages.hh"

namespace {

using namespace mezite;
using namespace mezite::ssh;
using fuzz::expect;

std::string_view name_of(BytesView& input) {
  if (input.empty()) return {};
  const std::size_t size = std::min<std::size_t>(input[0], input.size() - 1);
  const auto name = as_text(input.subspan(1, size));
  input = input.subspan(1 + size);
  return name;
}

void open(BytesView input) {
  const auto type = name_of(input);
  const auto value = parse_channel_open(type, input);
  if (!value) return;
  expect(channel_type(*value) == type);
  const auto again = parse_channel_open(type, encode_payload(*value));
  expect(again && *again == *value);
}

void request(BytesView input) {
  const auto name = name_of(input);
  const auto value = parse_channel_request(name, input);
  if (!value) return;
  expect(request_name(*value) == name);
  const auto again = parse_channel_request(name, encode_payload(*value));
  expect(again && *again == *value);
}

void global(BytesView input) {
  const auto name = name_of(input);
  const auto value = parse_global_request(name, input);
  if (!value) return;
  expect(request_name(*value) == name);
  const auto again = parse_global_request(name, encode_payload(*value));
  expect(again && *again == *value);
  static_cast<void>(forwarded_port(input));
}

void host_keys(BytesView input) {
  const auto keys = parse_host_keys(input);
  expect(keys.size() <= kMaxHostKeys && parse_host_keys(ask_for_host_keys(keys)) == keys);
  expect(!prove_host_keys({}, input, input, "ssh-ed25519"));
  expect(keys.empty() || !check_host_key_proofs(keys, input, input));
}

void identification(BytesView input) {
  for (const Role role : {Role::kServer, Role::kClient}) {
    IdentificationReader whole(role, 64), bytewise(role, 64);
    const auto used = whole.feed(input);
    Result<std::size_t> last = 0;
    for (std::size_t i = 0; i < input.size() && last && !bytewise.done(); ++i)
      last = bytewise.feed(input.subspan(i, 1));
    expect(used.has_value() == last.has_value() && whole.done() == bytewise.done());
    if (used) expect(*used <= input.size());
    if (whole.done()) expect(whole.version() == bytewise.version() && whole.version().size() <= 255);
  }
}

void negotiation(BytesView input) {
  BytesView first;
  if (!fuzz::next_message(input, first)) return;
  const auto client = decode<KexInit>(first), server = decode<KexInit>(input);
  if (!client || !server) return;
  const auto agreed = negotiate_kex(*client, *server);
  if (!agreed) return;
  expect(client->kex_algorithms.contains(agreed->kex->name) && server->kex_algorithms.contains(agreed->kex->name));
  expect(client->server_host_key_algorithms.contains(agreed->host_key->name));
  expect(server->encryption_client_to_server.contains(agreed->client_to_server.cipher->name));
}

using Check = void (*)(BytesView);
constexpr Check kChecks[] = {open, request, global, host_keys, identification, negotiation};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  kChecks[data[0] % std::size(kChecks)](BytesView(data + 1, size - 1));
  return 0;
}
