// Key exchange and re-keying: RFC 4253 §7 and §9, RFC 5656 §4, RFC 8308, strict KEX.
#include <algorithm>

#include "base/text.hh"
#include "crypto/random.hh"
#include "ssh/keys/certificate.hh"
#include "ssh/keys/signer.hh"
#include "ssh/transport/ssh_transport.hh"
#include "ssh/wire/transport_messages.hh"

namespace mezite::ssh {

namespace {

Stage steady_stage(Phase phase) {
  switch (phase) {
    case Phase::kTransport: return Stage::kService;
    case Phase::kUserauth: return Stage::kUserauth;
    case Phase::kConnection: return Stage::kConnection;
  }
  return Stage::kService;
}

// The names that EXT_INFO promises for user keys.
const std::string& offered_sig_algs() {
  static const std::string names = [] {
    std::vector<std::string> list;
    for (const auto& algorithm : public_key_algorithms()) list.emplace_back(algorithm.name);
    return join(list, ",");
  }();
  return names;
}

template <class Find>
Status all_known(std::string_view what, const std::vector<std::string>& names, Find find) {
  if (names.empty()) return fail(ErrorCode::kInvalidArgument, "no {} is allowed; name at least one", what);
  for (const auto& name : names) {
    if (find(name) == nullptr) {
      return fail(ErrorCode::kInvalidArgument, "unknown {} '{}'; remove it from the list", what, printable(name));
    }
  }
  return {};
}

// FIDO keys are users' only.
const PublicKeyAlgorithm* find_host_key_algorithm(std::string_view name) {
  const PublicKeyAlgorithm* algorithm = find_public_key_algorithm(name);
  return algorithm == nullptr || is_fido(algorithm->type) ? nullptr : algorithm;
}

std::vector<std::string> host_key_algorithm_names() {
  std::vector<std::string> names;
  for (const auto& algorithm : public_key_algorithms()) {
    if (!is_fido(algorithm.type)) names.emplace_back(algorithm.name);
  }
  return names;
}

template <class Rows>
std::vector<std::string> names_of(const Rows& rows) {
  std::vector<std::string> names;
  for (const auto& row : rows) names.emplace_back(row.name);
  return names;
}

const HostKey* find_host_key(const TransportConfig& config, const PublicKeyAlgorithm& algorithm) {
  const auto fits = [&](const HostKey& key) {
    return key.signer->public_key().type() == algorithm.type &&
           (algorithm.form == KeyForm::kPlain || !key.certificate.empty());
  };
  const auto found = std::ranges::find_if(config.host_keys, fits);
  return found == config.host_keys.end() ? nullptr : &*found;
}

bool is_for_servers(std::string_view kex) { return find_kex_algorithm(kex)->roles == KexRoles::kBoth; }

Status check(const TransportConfig& config) {
  MEZ_CHECK(all_known("key exchange method", config.algorithms.kex, find_kex_algorithm));
  MEZ_CHECK(all_known("host key algorithm", config.algorithms.host_keys, find_host_key_algorithm));
  MEZ_CHECK(all_known("cipher", config.algorithms.ciphers, find_cipher_algorithm));
  MEZ_CHECK(all_known("MAC", config.algorithms.macs, find_mac_algorithm));
  if (!is_valid_identification(config.software)) {
    return fail(ErrorCode::kInvalidArgument, "'{}' is not an SSH identification", printable(config.software));
  }
  if (config.role == Role::kClient && !config.verify_host_key) {
    return fail(ErrorCode::kInvalidArgument, "an SSH client needs a way to verify the host key");
  }
  if (config.role == Role::kServer && config.host_keys.empty()) {
    return fail(ErrorCode::kInvalidArgument, "an SSH server needs a host key");
  }
  for (const auto& host_key : config.host_keys) {
    if (host_key.signer == nullptr) return fail(ErrorCode::kInvalidArgument, "a host key without its signer");
  }
  const auto usable = [&](const std::string& name) {
    return find_host_key(config, *find_public_key_algorithm(name)) != nullptr;
  };
  if (config.role == Role::kServer && std::ranges::none_of(config.algorithms.kex, is_for_servers)) {
    return fail(ErrorCode::kInvalidArgument, "every key exchange method allowed is for clients only; allow one more");
  }
  if (config.role == Role::kServer && std::ranges::none_of(config.algorithms.host_keys, usable)) {
    return fail(ErrorCode::kInvalidArgument, "no host key is of an allowed algorithm; allow one more or add a key");
  }
  return {};
}

}  // namespace

const AlgorithmPreferences& AlgorithmPreferences::defaults() {
  static const AlgorithmPreferences preferences{.kex = names_of(kex_algorithms()),
                                                .host_keys = host_key_algorithm_names(),
                                                .ciphers = names_of(cipher_algorithms()),
                                                .macs = names_of(mac_algorithms())};
  return preferences;
}

Result<std::unique_ptr<Transport>> Transport::create(std::shared_ptr<const TransportConfig> config, const Clock& clock,
                                                     PacketSink& sink) {
  MEZ_CHECK(check(*config));
  auto transport = std::make_unique<SshTransport>(std::move(config), clock, sink);
  MEZ_CHECK(transport->start());
  return transport;
}

const HostKey* SshTransport::host_key_for(const PublicKeyAlgorithm& algorithm) const {
  return find_host_key(*config_, algorithm);
}

KexInit SshTransport::make_kexinit() const {
  const auto& algorithms = config_->algorithms;
  std::vector<std::string> kex = algorithms.kex;
  if (is_server()) std::erase_if(kex, [](const auto& name) { return !is_for_servers(name); });
  // Markers count in the first KEXINIT only.
  if (session_id_.empty()) {
    if (!is_server()) kex.emplace_back(kExtInfoClient);
    kex.emplace_back(is_server() ? kStrictKexServer : kStrictKexClient);
  }
  std::vector<std::string> host_keys = algorithms.host_keys;
  if (is_server()) {
    std::erase_if(host_keys,
                  [this](const auto& name) { return host_key_for(*find_public_key_algorithm(name)) == nullptr; });
  }
  KexInit init{.kex_algorithms = NameList(std::move(kex)),
               .server_host_key_algorithms = NameList(std::move(host_keys)),
               .encryption_client_to_server = NameList(algorithms.ciphers),
               .encryption_server_to_client = NameList(algorithms.ciphers),
               .mac_client_to_server = NameList(algorithms.macs),
               .mac_server_to_client = NameList(algorithms.macs),
               .compression_client_to_server = NameList({"none"}),
               .compression_server_to_client = NameList({"none"})};
  crypto::fill_random(init.cookie);
  return init;
}

Status SshTransport::send_kexinit() {
  own_kexinit_ = encode(make_kexinit());
  if (!session_id_.empty()) kex_deadline_ = clock_.steady() + config_->limits.rekey_timeout;
  return out_.put(*own_kexinit_);
}

void SshTransport::start_rekey() {
  if (closed_ || key_exchange_running() || session_id_.empty()) return;
  if (auto status = send_kexinit(); !status) static_cast<void>(fatal(std::move(status).error()));
}

bool SshTransport::rekey_is_due() const {
  // Stock sshd answers a KEXINIT before authentication with UNIMPLEMENTED, and there is little to protect yet.
  if (closed_ || key_exchange_running() || phase_ != Phase::kConnection) return false;
  const auto& limits = config_->rekey;
  // A key exchange ends with nothing sent under its keys, so limits of 1 still let each one carry a packet.
  return in_.bytes_since_keys() >= limits.bytes || out_.bytes_since_keys() >= limits.bytes ||
         in_.packets_since_keys() >= limits.packets || out_.packets_since_keys() >= limits.packets ||
         clock_.steady() >= rekey_time_;
}

Status SshTransport::rekey_if_due() {
  if (!rekey_is_due()) return {};
  return send_kexinit();
}

Status SshTransport::on_kexinit(BytesView payload) {
  const bool first = session_id_.empty();
  if (!first && ++empty_rekeys_ > config_->limits.max_empty_rekeys) {
    return fail(ErrorCode::kProtocol, "over {} key exchanges with nothing between them",
                config_->limits.max_empty_rekeys);
  }
  if (output_size() > config_->limits.max_output_bytes) {
    return fail(ErrorCode::kProtocol, "key exchanges faster than their answers are read");
  }
  MEZ_TRY(const auto theirs, decode<KexInit>(payload));
  if (!own_kexinit_) MEZ_CHECK(send_kexinit());
  MEZ_TRY(const auto ours, decode<KexInit>(*own_kexinit_));

  if (first) {
    strict_ = theirs.kex_algorithms.contains(is_server() ? kStrictKexClient : kStrictKexServer);
    // Under strict KEX nothing may have come before (Terrapin, CVE-2023-48795: a message put in here would shift the
    // sequence numbers of all that follow).
    if (strict_ && in_.total_packets() != 1) {
      return fail(ErrorCode::kProtocol, "strict KEX, and KEXINIT is not the first message");
    }
    peer_takes_ext_info_ = is_server() && theirs.kex_algorithms.contains(kExtInfoClient);
  }
  const auto agreed = is_server() ? negotiate_kex(theirs, ours) : negotiate_kex(ours, theirs);
  if (!agreed) return fatal(DisconnectReason::kKeyExchangeFailed, agreed.error());
  agreed_ = *agreed;
  preamble_ = {.client_version = is_server() ? identification_.version() : config_->software,
               .server_version = is_server() ? config_->software : identification_.version(),
               .client_kexinit = is_server() ? to_bytes(payload) : *own_kexinit_,
               .server_kexinit = is_server() ? *own_kexinit_ : to_bytes(payload)};

  const bool skip = is_server() ? agreed_.client_guessed_wrong : agreed_.server_guessed_wrong;
  stage_ = first ? (skip ? Stage::kKexGuess : Stage::kKexMethod) : (skip ? Stage::kRekeyGuess : Stage::kRekeyMethod);
  if (is_server()) return {};
  MEZ_TRY(client_exchange_, ClientExchange::start(*agreed_.kex));
  return emit(encode(KexEcdhInit{.client_public = client_exchange_->client_public()}));
}

Status SshTransport::on_ecdh_init(BytesView payload) {
  MEZ_TRY(const auto init, decode<KexEcdhInit>(payload));
  const HostKey* host_key = host_key_for(*agreed_.host_key);
  if (host_key == nullptr) return fail(ErrorCode::kInternal, "no host key for the agreed algorithm");
  const BytesView blob = agreed_.host_key->form == KeyForm::kCertificate
                             ? BytesView(host_key->certificate)
                             : BytesView(host_key->signer->public_key().wire());
  auto exchange = ServerExchange::run(*agreed_.kex, preamble_, blob, init.client_public);
  if (!exchange) return fatal(DisconnectReason::kKeyExchangeFailed, std::move(exchange).error());
  return sign_and_reply(std::move(*exchange), blob, *host_key->signer);
}

// All that is left once the exchange hash is known; a signer that is elsewhere would come back here with its signature.
Status SshTransport::sign_and_reply(ServerExchange exchange, BytesView host_key, const Signer& signer) {
  auto signature = signer.sign(agreed_.host_key->signature_name, exchange.result.hash);
  if (!signature) return fatal(DisconnectReason::kKeyExchangeFailed, std::move(signature).error());
  MEZ_CHECK(emit(
      encode(KexEcdhReply{.host_key = host_key, .server_public = exchange.server_public, .signature = *signature})));
  return take_keys(std::move(exchange.result));
}

Status SshTransport::on_ecdh_reply(BytesView payload) {
  MEZ_TRY(const auto reply, decode<KexEcdhReply>(payload));
  auto result =
      client_exchange_->finish(preamble_, *agreed_.host_key, reply.host_key, reply.server_public, reply.signature);
  if (!result) return fatal(DisconnectReason::kKeyExchangeFailed, std::move(result).error());
  const HostKeyOffer offer{.algorithm = agreed_.host_key->name, .blob = reply.host_key};
  if (auto status = config_->verify_host_key(offer); !status) {
    return fatal(DisconnectReason::kHostKeyNotVerifiable, std::move(status).error());
  }
  client_exchange_.reset();
  return take_keys(std::move(*result));
}

// Sends NEWKEYS: what we send from here on is under the new keys, what comes is under the old ones until the peer's.
Status SshTransport::take_keys(ExchangeResult result) {
  if (session_id_.empty()) session_id_ = result.hash;
  const KeyDirection sending = is_server() ? KeyDirection::kServerToClient : KeyDirection::kClientToServer;
  const KeyDirection receiving = is_server() ? KeyDirection::kClientToServer : KeyDirection::kServerToClient;
  const DirectionAgreement& agreed_out = is_server() ? agreed_.server_to_client : agreed_.client_to_server;
  const DirectionAgreement& agreed_in = is_server() ? agreed_.client_to_server : agreed_.server_to_client;
  MEZ_TRY(auto out_cipher, make_packet_cipher(CipherDirection::kSeal, *agreed_out.cipher, agreed_out.mac,
                                              derive_packet_keys(result, session_id_, sending, agreed_out)));
  MEZ_TRY(next_in_cipher_, make_packet_cipher(CipherDirection::kOpen, *agreed_in.cipher, agreed_in.mac,
                                              derive_packet_keys(result, session_id_, receiving, agreed_in)));
  MEZ_CHECK(emit(encode(NewKeys{})));
  out_.set_cipher(std::move(out_cipher), strict_ ? PacketOutput::Sequence::kReset : PacketOutput::Sequence::kContinue);
  const bool first = stage_ == Stage::kKexMethod;
  stage_ = first ? Stage::kKexNewKeys : Stage::kRekeyNewKeys;
  own_kexinit_.reset();
  awaiting_newkeys_ = true;
  preamble_ = {};
  if (first && peer_takes_ext_info_) MEZ_CHECK(send_ext_info());
  return flush_queue();
}

Status SshTransport::send_ext_info() {
  ExtInfo info;
  info.extensions.items.push_back({.name = "server-sig-algs", .value = to_bytes(offered_sig_algs())});
  info.extensions.items.push_back({.name = "ping@openssh.com", .value = to_bytes("0")});
  return emit(encode(info));
}

Status SshTransport::on_newkeys(BytesView payload) {
  MEZ_CHECK(decode<NewKeys>(payload));
  const bool first = stage_ == Stage::kKexNewKeys;
  in_.set_cipher(std::move(next_in_cipher_),
                 strict_ ? PacketInput::Sequence::kReset : PacketInput::Sequence::kContinue);
  awaiting_newkeys_ = false;
  stage_ = steady_stage(phase_);
  ++key_exchanges_;
  rekey_time_ = clock_.steady() + config_->rekey.time;
  note_algorithms();
  sink_.on_key_exchange();
  if (!first || is_server()) return {};
  return emit(encode(ServiceRequest{.service = "ssh-userauth"}));
}

void SshTransport::note_algorithms() {
  const auto direction = [](const DirectionAgreement& agreed) {
    return NegotiatedAlgorithms::Direction{.cipher = agreed.cipher->name,
                                           .mac = agreed.mac == nullptr ? std::string_view() : agreed.mac->name};
  };
  algorithms_ = {.kex = agreed_.kex->name,
                 .host_key = agreed_.host_key->name,
                 .client_to_server = direction(agreed_.client_to_server),
                 .server_to_client = direction(agreed_.server_to_client),
                 .strict_kex = strict_};
}

}  // namespace mezite::ssh
