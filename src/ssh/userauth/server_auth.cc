#include "ssh/userauth/server_auth.hh"

#include <algorithm>
#include <utility>

#include "base/text.hh"
#include "ssh/keys/algorithm.hh"

namespace mezite::ssh {
namespace {

constexpr std::size_t kMaxUserBytes = 256;
constexpr std::size_t kMaxAnswerBytes = 4096;
constexpr std::size_t kMaxPrompts = 16;
constexpr unsigned kMaxRounds = 32;
constexpr std::size_t kMaxSignatureBytes = 4096;
// All requests together, whatever they are: a connection cannot be kept busy with them.
constexpr unsigned kMaxRequests = 256;

NameList to_name_list(const std::vector<AuthMethod>& methods) {
  std::vector<std::string> names;
  for (AuthMethod method : methods) {
    if (method != AuthMethod::kNone) names.emplace_back(auth_method_name(method));
  }
  return NameList(std::move(names));
}

bool is_user_name(std::string_view user) {
  return user.size() <= kMaxUserBytes && is_valid_utf8(user) &&
         std::ranges::none_of(user, [](char c) { return (c >= 0 && c < ' ') || c == 0x7f; });
}

}  // namespace

ServerAuth::ServerAuth(Transport& transport, ServerAuthSettings settings, ServerAuthOwner& owner)
    : transport_(transport), settings_(std::move(settings)), owner_(&owner), methods_(settings_.methods) {}

void ServerAuth::stop() {
  owner_ = nullptr;
  ticket_ = 0;
  state_ = ServerAuthState::kDone;
}

Status ServerAuth::on_packet(BytesView payload) {
  if (!is_legal(kServerAuthRules, state_, payload[0])) {
    return fail(ErrorCode::kProtocol, "unexpected message {} during authentication", payload[0]);
  }
  if (state_ == ServerAuthState::kDone) return {};
  dispatching_ = true;
  Status status = payload[0] == static_cast<std::uint8_t>(MessageNumber::kUserauthRequest) ? on_request(payload)
                                                                                           : on_info_response(payload);
  dispatching_ = false;
  if (status && fatal_) status = std::unexpected(*fatal_);
  if (!status) state_ = ServerAuthState::kDone;
  if (is_deciding()) {
    holding_ = true;
    transport_.hold_input();
  }
  return status;
}

Status ServerAuth::on_request(BytesView payload) {
  MEZ_TRY(auto message, decode<UserauthRequest>(payload));
  if (message.service != "ssh-connection") {
    return fail(ErrorCode::kProtocol, "service '{}' is not offered", printable(message.service));
  }
  if (!is_user_name(message.user)) {
    give_up(DisconnectReason::kIllegalUserName, "illegal user name");
    return {};
  }
  if (user_ && *user_ != message.user) return fail(ErrorCode::kProtocol, "the user name must not change");
  user_ = message.user;
  if (++requests_ > kMaxRequests) {
    give_up(DisconnectReason::kNoMoreAuthMethodsAvailable, "too many authentication requests");
    return {};
  }
  if (!banner_sent_ && !settings_.banner.empty()) {
    banner_sent_ = true;
    send(encode(UserauthBanner{std::string(settings_.banner), ""}));
  }

  state_ = ServerAuthState::kIdle;  // a challenge that was open is given up
  current_ = AuthRequest{};
  current_.user = message.user;
  current_.service = message.service;
  current_.peer_software = std::string(transport_.peer_version());
  current_.session_id = transport_.session_id();
  current_.attempt = failures_;

  if (message.method == "none") {
    current_.method = AuthMethod::kNone;
    if (offers(AuthMethod::kNone)) {
      ask();
    } else if (!std::exchange(none_seen_, true)) {
      send_failure(false);  // how clients ask for the methods (RFC 4252 §5.2): no attempt
    } else {
      refuse("none is not offered");
    }
  } else if (message.method == "publickey") {
    current_.method = AuthMethod::kPublicKey;
    on_publickey(message, payload);
  } else if (message.method == "keyboard-interactive") {
    current_.method = AuthMethod::kKeyboardInteractive;
    if (!decode<UserauthKeyboardInteractive>(message.parameters.bytes)) {
      return fail(ErrorCode::kProtocol, "malformed keyboard-interactive request");
    }
    if (offers(AuthMethod::kKeyboardInteractive)) {
      ask();
    } else {
      refuse("keyboard-interactive is not offered");
    }
  } else {
    count_failure();
  }
  return {};
}

void ServerAuth::on_publickey(const UserauthRequest& message, BytesView payload) {
  auto part = decode<UserauthPublickey>(message.parameters.bytes);
  if (!part) {
    fatal_ = std::move(part).error();
    return;
  }
  current_.proof = part->has_signature ? KeyProof::kProven : KeyProof::kOffered;
  current_.algorithm = part->algorithm.substr(0, 128);
  if (!part->has_signature && ++offers_ > settings_.max_offers) {
    return give_up(DisconnectReason::kNoMoreAuthMethodsAvailable, "too many keys offered");
  }
  if (!offers(AuthMethod::kPublicKey)) return refuse("publickey is not offered");
  // One key says who it is: a second one could only say something else.
  if (identity_.key) return refuse("a key has been proven already");
  const PublicKeyAlgorithm* algorithm = find_public_key_algorithm(part->algorithm);
  if (!algorithm) return refuse("algorithm is not supported");
  auto credential = parse_public_credential(part->public_key);
  if (!credential) return refuse(credential.error().message);
  const bool certified = std::holds_alternative<Certificate>(*credential);
  current_.key = plain_key(*credential);
  if (certified) current_.certificate = std::get<Certificate>(*credential);
  if (current_.key->type() != algorithm->type || certified != (algorithm->form == KeyForm::kCertificate)) {
    return refuse("the key does not go with its algorithm");
  }
  if (part->has_signature) {
    if (part->signature->size() > kMaxSignatureBytes) return refuse("the signature is too long");
    // RFC 4252 §7: the signature covers the session id and the whole request up to itself, so session, user, service,
    // method, algorithm and key are what was signed and nothing else.
    Bytes message_signed;
    Writer(message_signed)
        .string(transport_.session_id())
        .raw(payload.first(payload.size() - 4 - part->signature->size()));
    // A security key must have been touched, unless the certificate lifts that; the owner verifies who signed it.
    const auto rules = certified ? current_.certificate->authenticator_rules() : AuthenticatorRules{};
    if (auto shown = current_.key->verify_with(rules, algorithm->signature_name, message_signed, *part->signature);
        !shown) {
      return refuse(shown.error().message);
    }
  }
  ask();
}

Status ServerAuth::on_info_response(BytesView payload) {
  // The count is compared with what was asked before anything is made of it (russh CVE-2026-42189).
  Reader in(payload.subspan(1));
  const std::uint32_t count = in.u32();
  const unsigned round = current_.round + 1;
  if (in.failed() || count != prompts_asked_) {
    return fail(ErrorCode::kProtocol, "{} answers to {} prompts", count, prompts_asked_);
  }
  std::vector<Secret> answers;
  for (std::uint32_t i = 0; i < count; ++i) {
    const BytesView answer = in.string();
    if (answer.size() > kMaxAnswerBytes) return fail(ErrorCode::kProtocol, "an answer is too long");
    answers.emplace_back(answer);
  }
  MEZ_CHECK(in.finish("INFO_RESPONSE"));
  state_ = ServerAuthState::kIdle;
  current_.round = round;
  current_.answers = std::move(answers);
  current_.attempt = failures_;
  ask();
  return {};
}

void ServerAuth::ask() {
  state_ = ServerAuthState::kDeciding;
  ticket_ = ++last_ticket_;
  const auto keep = shared_from_this();
  owner_->on_auth_request(current_, AuthResponder(weak_from_this(), ticket_));
}

void ServerAuth::challenge(std::uint64_t ticket, const KeyboardInteractiveChallenge& challenge) {
  if (ticket == 0 || ticket != ticket_) return;
  if (current_.method != AuthMethod::kKeyboardInteractive || current_.round >= kMaxRounds ||
      challenge.prompts.size() > kMaxPrompts) {
    return decide(ticket, Verdict::kReject, {}, {});
  }
  ticket_ = 0;
  UserauthInfoRequest message{challenge.name, challenge.instruction, "", {}};
  for (const Prompt& prompt : challenge.prompts) message.prompts.items.push_back({prompt.text, prompt.echo});
  prompts_asked_ = challenge.prompts.size();
  state_ = ServerAuthState::kAwaiting;
  send(encode(message));
  resume();
}

void ServerAuth::decide(std::uint64_t ticket, Verdict verdict, const std::vector<AuthMethod>& methods,
                        const Restrictions& restrictions) {
  if (ticket == 0 || ticket != ticket_) return;
  const auto keep = shared_from_this();
  ticket_ = 0;
  state_ = ServerAuthState::kIdle;
  current_.answers.clear();

  const bool offer = current_.method == AuthMethod::kPublicKey && current_.proof == KeyProof::kOffered;
  std::vector<AuthMethod> next;
  for (AuthMethod method : methods) {
    const bool again = method == AuthMethod::kNone || (method == AuthMethod::kPublicKey &&
                                                       (identity_.key || current_.method == AuthMethod::kPublicKey));
    if (!again) next.push_back(method);
  }
  Restrictions all = identity_.restrictions;
  all.add(restrictions);

  if (verdict == Verdict::kReject) {
    if (offer) {
      send_failure(false);
    } else {
      count_failure();
    }
  } else if (offer) {
    // The same algorithm and key go back (RFC 4252 §7); nothing is granted by this.
    const Bytes& blob = current_.certificate ? current_.certificate->wire() : current_.key->wire();
    send(encode(UserauthPkOk{current_.algorithm, blob}));
  } else if (all.force_commands.size() > 1) {
    refuse("two steps force different commands");
  } else if (verdict == Verdict::kPartial && next.empty()) {
    refuse("no method is left for the next step");
  } else {
    pass_step(restrictions);
    if (verdict == Verdict::kPartial) {
      methods_ = std::move(next);
      send_failure(true);
    } else {
      succeed();
    }
  }
  resume();
}

void ServerAuth::pass_step(const Restrictions& restrictions) {
  identity_.restrictions.add(restrictions);
  identity_.steps.push_back(current_.method);
  if (current_.method == AuthMethod::kPublicKey) {
    identity_.key = current_.key;
    identity_.certificate = current_.certificate;
  }
}

void ServerAuth::succeed() {
  identity_.user = *user_;
  state_ = ServerAuthState::kDone;
  send(encode(UserauthSuccess{}));
  transport_.set_phase(Phase::kConnection);
  if (owner_) owner_->on_auth_success(std::move(identity_));
}

void ServerAuth::refuse(std::string_view why) {
  const bool offer = current_.method == AuthMethod::kPublicKey && current_.proof == KeyProof::kOffered;
  const auto keep = shared_from_this();
  state_ = ServerAuthState::kIdle;
  if (owner_) owner_->on_auth_refused(current_, why);
  if (!owner_) return;
  if (offer) {
    send_failure(false);
  } else {
    count_failure();
  }
}

void ServerAuth::count_failure() {
  if (++failures_ >= settings_.max_attempts) {
    return give_up(DisconnectReason::kNoMoreAuthMethodsAvailable, "too many authentication failures");
  }
  send_failure(false);
}

// Byte for byte the same whatever the user and the reason.
void ServerAuth::send_failure(bool partial) { send(encode(UserauthFailure{to_name_list(methods_), partial})); }

void ServerAuth::give_up(DisconnectReason reason, std::string_view text) {
  transport_.disconnect(reason, text);
  state_ = ServerAuthState::kDone;
  fatal_ = Error{ErrorCode::kUnauthenticated, std::string(text)};
}

// After an answer that came later than its request.
void ServerAuth::resume() {
  if (dispatching_ || !owner_) return;
  if (fatal_) {
    state_ = ServerAuthState::kDone;
    owner_->on_auth_error(*fatal_);
  } else if (std::exchange(holding_, false)) {
    owner_->on_auth_resume();
  }
}

bool ServerAuth::offers(AuthMethod method) const { return std::ranges::find(methods_, method) != methods_.end(); }

void ServerAuth::send(BytesView payload) {
  if (auto status = transport_.send(payload); !status && !fatal_) fatal_ = std::move(status).error();
  if (owner_) owner_->on_auth_output();
}

}  // namespace mezite::ssh
