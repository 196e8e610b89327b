#include "ssh/userauth/client_auth.hh"

#include <algorithm>
#include <utility>

#include "base/text.hh"

namespace mezite::ssh {
namespace {

constexpr unsigned kMaxFailures = 64;  // answers of the server, not tries of the user
constexpr unsigned kMaxRounds = 64;
constexpr std::size_t kMaxPrompts = 64;
constexpr std::size_t kMaxPromptBytes = 16 * 1024;
constexpr std::size_t kMaxBannerBytes = 64 * 1024;  // all banners together

bool contains(const std::vector<std::string>& names, std::string_view name) {
  return std::ranges::find(names, name) != names.end();
}

}  // namespace

ClientAuth::ClientAuth(Transport& transport, ClientAuthSettings settings, ClientAuthOwner& owner)
    : transport_(transport), settings_(settings), owner_(&owner) {}

void ClientAuth::stop() {
  owner_ = nullptr;
  ticket_ = 0;
  state_ = ClientAuthState::kDone;
}

Status ClientAuth::start() {
  if (settings_.identities.size() == 1) {
    methods_ = {"publickey"};
    if (const auto* algorithm = choose_algorithm(settings_.identities.front())) {
      next_identity_ = 1;
      if (prove(settings_.identities.front(), *algorithm)) return {};
    }
  }
  state_ = ClientAuthState::kNone;
  return send(encode(UserauthRequest{std::string(settings_.user), "ssh-connection", "none", {}}));
}

Status ClientAuth::on_packet(BytesView payload) {
  if (!is_legal(kClientAuthRules, state_, payload[0])) {
    return fail(ErrorCode::kProtocol, "unexpected message {} while authentication is {}", payload[0],
                auth_state_name(state_));
  }
  const auto keep = shared_from_this();
  switch (static_cast<MessageNumber>(payload[0])) {
    case MessageNumber::kUserauthFailure: return on_failure(payload);
    case MessageNumber::kUserauthBanner: return on_banner(payload);
    case MessageNumber::kUserauthSuccess:
      MEZ_CHECK(decode<UserauthSuccess>(payload));
      state_ = ClientAuthState::kDone;
      transport_.set_phase(Phase::kConnection);
      owner_->on_auth_success();
      return {};
    default: return state_ == ClientAuthState::kOffered ? on_key_ok(payload) : on_info_request(payload);
  }
}

Status ClientAuth::on_failure(BytesView payload) {
  MEZ_TRY(auto message, decode<UserauthFailure>(payload));
  methods_ = message.methods.names();
  if (++failures_ > kMaxFailures) return fail(ErrorCode::kUnauthenticated, "the server refuses without end");
  if (message.partial_success) interactive_tried_ = false;
  return try_next();
}

Status ClientAuth::try_next() {
  if (contains(methods_, "publickey")) {
    while (next_identity_ < settings_.identities.size()) {
      const Identity& identity = settings_.identities[next_identity_++];
      const auto* algorithm = choose_algorithm(identity);
      if (!algorithm) {
        notes_ += " (the server takes no signature of " + std::string(identity.signer->public_key().name()) + " keys)";
        continue;
      }
      // Offered first when it is one of many: a signature may cost the user a touch.
      if (settings_.identities.size() > 1) return offer(identity, *algorithm);
      if (prove(identity, *algorithm)) return {};
    }
  }
  if (contains(methods_, "keyboard-interactive") && settings_.keyboard_interactive && !interactive_tried_) {
    interactive_tried_ = true;
    rounds_ = 0;
    state_ = ClientAuthState::kInteractive;
    const Bytes part = encode(UserauthKeyboardInteractive{});
    return send(
        encode(UserauthRequest{std::string(settings_.user), "ssh-connection", "keyboard-interactive", Rest{part}}));
  }
  return fail(ErrorCode::kUnauthenticated, "permission denied for '{}': the server takes {}{}",
              printable(settings_.user), methods_.empty() ? "nothing more" : printable(join(methods_, ", ")), notes_);
}

const PublicKeyAlgorithm* ClientAuth::choose_algorithm(const Identity& identity) const {
  const auto& accepted = transport_.server_sig_algs();  // RFC 8308 §3.1
  for (std::string_view signature : identity.signer->public_key().signature_algorithms()) {
    for (const PublicKeyAlgorithm& algorithm : public_key_algorithms()) {
      if (algorithm.signature_name != signature || !identity.supports(algorithm)) continue;
      if (accepted.empty() || contains(accepted, signature) || contains(accepted, algorithm.name)) return &algorithm;
    }
  }
  return nullptr;
}

Status ClientAuth::offer(const Identity& identity, const PublicKeyAlgorithm& algorithm) {
  current_ = &identity;
  algorithm_ = &algorithm;
  state_ = ClientAuthState::kOffered;
  return send(publickey_request(identity, algorithm, Proof::kNone, std::nullopt));
}

Status ClientAuth::prove(const Identity& identity, const PublicKeyAlgorithm& algorithm) {
  // RFC 4252 §7: what is signed is the session id and the request up to its signature.
  Bytes to_sign;
  Writer(to_sign)
      .string(transport_.session_id())
      .raw(publickey_request(identity, algorithm, Proof::kSigned, std::nullopt));
  auto signature = identity.signer->sign(algorithm.signature_name, to_sign);
  if (!signature) {
    notes_ += " (" + signature.error().message + ")";
    return std::unexpected(std::move(signature).error());
  }
  current_ = &identity;
  algorithm_ = &algorithm;
  state_ = ClientAuthState::kProven;
  return send(publickey_request(identity, algorithm, Proof::kSigned, BytesView(*signature)));
}

Bytes ClientAuth::publickey_request(const Identity& identity, const PublicKeyAlgorithm& algorithm, Proof proof,
                                    std::optional<BytesView> signature) const {
  const bool has_signature = proof == Proof::kSigned;
  const bool bound = transport_.peer_announced(PeerExtension::kHostbound);
  const Bytes part =
      bound ? encode(UserauthPublickeyHostbound{has_signature, std::string(algorithm.name), identity.blob(),
                                                transport_.host_key(), signature})
            : encode(UserauthPublickey{has_signature, std::string(algorithm.name), identity.blob(), signature});
  return encode(UserauthRequest{std::string(settings_.user), "ssh-connection",
                                std::string(bound ? kHostboundMethod : "publickey"), Rest{part}});
}

Status ClientAuth::on_key_ok(BytesView payload) {
  MEZ_TRY(auto message, decode<UserauthPkOk>(payload));
  // It must be the key that was offered: nothing else gets signed with.
  if (message.algorithm != algorithm_->name || to_bytes(message.public_key) != current_->blob()) {
    return fail(ErrorCode::kProtocol, "the server accepts a key that was not offered");
  }
  if (prove(*current_, *algorithm_)) return {};
  return try_next();
}

Status ClientAuth::on_info_request(BytesView payload) {
  // Bounded before anything is made of the count.
  Reader in(payload.subspan(1));
  KeyboardInteractiveChallenge challenge;
  challenge.name = in.text();
  challenge.instruction = in.text();
  in.text();  // language
  const std::uint32_t count = in.u32();
  if (in.failed() || count > kMaxPrompts || challenge.name.size() + challenge.instruction.size() > kMaxPromptBytes) {
    return fail(ErrorCode::kProtocol, "malformed INFO_REQUEST");
  }
  for (std::uint32_t i = 0; i < count; ++i) {
    Prompt prompt;
    prompt.text = in.text();
    prompt.echo = in.boolean();
    if (prompt.text.size() > kMaxPromptBytes) in.fail();
    challenge.prompts.push_back(std::move(prompt));
  }
  MEZ_CHECK(in.finish("INFO_REQUEST"));
  if (++rounds_ > kMaxRounds) return fail(ErrorCode::kUnauthenticated, "the server asks without end");
  state_ = ClientAuthState::kAnswering;
  prompts_ = challenge.prompts.size();
  ticket_ = ++last_ticket_;
  if (prompts_ == 0 && challenge.name.empty() && challenge.instruction.empty()) {
    answer(ticket_, {});  // OpenSSH ends a dialogue with an empty request
    return {};
  }
  owner_->on_auth_challenge(challenge, ChallengeResponder(weak_from_this(), ticket_));
  return {};
}

void ClientAuth::answer(std::uint64_t ticket, std::vector<Secret> answers) {
  if (ticket == 0 || ticket != ticket_) return;
  if (answers.size() != prompts_) return give_up_challenge(ticket);
  ticket_ = 0;
  state_ = ClientAuthState::kInteractive;
  Secret payload(std::size_t{0});
  Bytes head;
  Writer(head)
      .byte(static_cast<std::uint8_t>(MessageNumber::kUserauthInfoResponse))
      .u32(static_cast<std::uint32_t>(answers.size()));
  payload.append(head);
  for (const Secret& answer : answers) {
    head.clear();
    Writer(head).u32(static_cast<std::uint32_t>(answer.size()));
    payload.append(head);
    payload.append(answer.view());
  }
  const auto keep = shared_from_this();
  if (auto status = send(payload.view()); !status && owner_) owner_->on_auth_error(status.error());
}

// The next method, if there is one: a new request gives the dialogue up (RFC 4256 §3.1).
void ClientAuth::give_up_challenge(std::uint64_t ticket) {
  if (ticket == 0 || ticket != ticket_) return;
  ticket_ = 0;
  const auto keep = shared_from_this();
  if (auto status = try_next(); !status && owner_) owner_->on_auth_error(status.error());
}

Status ClientAuth::on_banner(BytesView payload) {
  MEZ_TRY(auto message, decode<UserauthBanner>(payload));
  banner_bytes_ += message.message.size() + 16;
  if (banner_bytes_ > kMaxBannerBytes) return fail(ErrorCode::kProtocol, "banners are too long");
  owner_->on_auth_banner(message.message);
  return {};
}

Status ClientAuth::send(BytesView payload) {
  const auto status = transport_.send(payload);
  if (owner_) owner_->on_auth_output();
  return status;
}

}  // namespace mezite::ssh
