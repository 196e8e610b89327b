#include "ssh/kex/negotiation.hh"

#include <string_view>

#include "base/text.hh"

namespace mezite::ssh {

namespace {

// The client's first name that the server has and this build knows.
template <class Find>
auto first_common(const NameList& client, const NameList& server, Find find) -> decltype(find(std::string_view())) {
  for (const auto& name : client.names()) {
    const auto* algorithm = find(name);
    if (algorithm != nullptr && server.contains(name)) return algorithm;
  }
  return nullptr;
}

std::unexpected<Error> nothing_common(std::string_view what, const NameList& client, const NameList& server) {
  constexpr std::size_t kShownBytes = 300;
  return fail(ErrorCode::kProtocol, "no common {}: the client offers {}; the server offers {}", what,
              printable(client.to_text().substr(0, kShownBytes)), printable(server.to_text().substr(0, kShownBytes)));
}

Result<DirectionAgreement> negotiate_direction(std::string_view way, const NameList& client_ciphers,
                                               const NameList& server_ciphers, const NameList& client_macs,
                                               const NameList& server_macs) {
  DirectionAgreement agreed;
  agreed.cipher = first_common(client_ciphers, server_ciphers, find_cipher_algorithm);
  if (agreed.cipher == nullptr) {
    return nothing_common(fmt::format("cipher ({})", way), client_ciphers, server_ciphers);
  }
  if (agreed.cipher->is_aead()) return agreed;
  agreed.mac = first_common(client_macs, server_macs, find_mac_algorithm);
  if (agreed.mac == nullptr) return nothing_common(fmt::format("MAC ({})", way), client_macs, server_macs);
  return agreed;
}

std::string_view first_name(const NameList& list) {
  return list.empty() ? std::string_view() : std::string_view(list.names().front());
}

// RFC 4253 §7: a guess is right when the first names of both lists are the same on both sides.
bool guesses_differ(const KexInit& client, const KexInit& server) {
  return first_name(client.kex_algorithms) != first_name(server.kex_algorithms) ||
         first_name(client.server_host_key_algorithms) != first_name(server.server_host_key_algorithms);
}

}  // namespace

Result<KexAgreement> negotiate_kex(const KexInit& client, const KexInit& server) {
  KexAgreement agreed;
  agreed.kex = first_common(client.kex_algorithms, server.kex_algorithms, find_kex_algorithm);
  if (agreed.kex == nullptr) {
    return nothing_common("key exchange method", client.kex_algorithms, server.kex_algorithms);
  }
  agreed.host_key =
      first_common(client.server_host_key_algorithms, server.server_host_key_algorithms, find_public_key_algorithm);
  if (agreed.host_key == nullptr) {
    return nothing_common("host key algorithm", client.server_host_key_algorithms, server.server_host_key_algorithms);
  }
  MEZ_TRY(agreed.client_to_server, negotiate_direction("client to server", client.encryption_client_to_server,
                                                       server.encryption_client_to_server, client.mac_client_to_server,
                                                       server.mac_client_to_server));
  MEZ_TRY(agreed.server_to_client, negotiate_direction("server to client", client.encryption_server_to_client,
                                                       server.encryption_server_to_client, client.mac_server_to_client,
                                                       server.mac_server_to_client));
  constexpr std::string_view kNone = "none";
  if (!client.compression_client_to_server.contains(kNone) || !server.compression_client_to_server.contains(kNone)) {
    return nothing_common("compression (client to server)", client.compression_client_to_server,
                          server.compression_client_to_server);
  }
  if (!client.compression_server_to_client.contains(kNone) || !server.compression_server_to_client.contains(kNone)) {
    return nothing_common("compression (server to client)", client.compression_server_to_client,
                          server.compression_server_to_client);
  }
  const bool differ = guesses_differ(client, server);
  agreed.client_guessed_wrong = client.first_kex_packet_follows && differ;
  agreed.server_guessed_wrong = server.first_kex_packet_follows && differ;
  return agreed;
}

}  // namespace mezite::ssh
