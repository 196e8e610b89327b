// RFC 4252 (authentication), RFC 4256 (keyboard-interactive).
#pragma once

#include "ssh/wire/codec.hh"

namespace mezite::ssh {

// What follows `method` is a part: UserauthPublickey, UserauthPassword, UserauthKeyboardInteractive, nothing for
// "none".
struct UserauthRequest {
  static constexpr MessageNumber kNumber = MessageNumber::kUserauthRequest;
  std::string user;
  std::string service;
  std::string method;
  Rest parameters;
  MEZ_SSH_FIELDS(user, service, method, parameters)
};

// RFC 4252 §7. has_signature false is the query, true the proof.
struct UserauthPublickey {
  bool has_signature = false;
  std::string algorithm;
  BytesView public_key;  // key or certificate blob
  OptionalTail signature;
  MEZ_SSH_FIELDS(has_signature, algorithm, public_key, signature)
  bool valid() const { return has_signature == signature.has_value(); }
};

// RFC 4252 §7: the bytes that the client signs.
struct UserauthPublickeySigned {
  Bytes session_id;
  std::uint8_t number = static_cast<std::uint8_t>(MessageNumber::kUserauthRequest);
  std::string user;
  std::string service;
  std::string method = "publickey";
  bool has_signature = true;
  std::string algorithm;
  BytesView public_key;
  MEZ_SSH_FIELDS(session_id, number, user, service, method, has_signature, algorithm, public_key)
};

// OpenSSH PROTOCOL §3.1: as UserauthPublickey, and names the server's host key of the first key exchange, so that the
// signature is of no use towards another server. The method's name in requests; lists of methods call both "publickey".
inline constexpr std::string_view kHostboundMethod = "publickey-hostbound-v00@openssh.com";
struct UserauthPublickeyHostbound {
  bool has_signature = false;
  std::string algorithm;
  BytesView public_key;
  BytesView host_key;
  OptionalTail signature;
  MEZ_SSH_FIELDS(has_signature, algorithm, public_key, host_key, signature)
  bool valid() const { return has_signature == signature.has_value(); }
};

// RFC 4252 §8. new_password is there when `change` is true.
struct UserauthPassword {
  bool change = false;
  BytesView password;
  OptionalTail new_password;
  MEZ_SSH_FIELDS(change, password, new_password)
  bool valid() const { return change == new_password.has_value(); }
};

// RFC 4256 §3.1.
struct UserauthKeyboardInteractive {
  std::string language;
  std::string submethods;
  MEZ_SSH_FIELDS(language, submethods)
};

struct UserauthFailure {
  static constexpr MessageNumber kNumber = MessageNumber::kUserauthFailure;
  NameList methods;
  bool partial_success = false;
  MEZ_SSH_FIELDS(methods, partial_success)
};

struct UserauthSuccess {
  static constexpr MessageNumber kNumber = MessageNumber::kUserauthSuccess;
  MEZ_SSH_FIELDS()
};

struct UserauthBanner {
  static constexpr MessageNumber kNumber = MessageNumber::kUserauthBanner;
  std::string message;
  std::string language;
  MEZ_SSH_FIELDS(message, language)
};

struct UserauthPkOk {
  static constexpr MessageNumber kNumber = MessageNumber::kUserauthPkOk;
  std::string algorithm;
  BytesView public_key;
  MEZ_SSH_FIELDS(algorithm, public_key)
};

struct UserauthPrompt {
  std::string text;
  bool echo = false;
  MEZ_SSH_FIELDS(text, echo)
};

// RFC 4256 §3.2.
struct UserauthInfoRequest {
  static constexpr MessageNumber kNumber = MessageNumber::kUserauthInfoRequest;
  std::string name;
  std::string instruction;
  std::string language;
  Counted<UserauthPrompt> prompts;
  MEZ_SSH_FIELDS(name, instruction, language, prompts)
};

// RFC 4256 §3.4. A count over 256 is refused: no request asks that much (russh CVE-2026-42189).
struct UserauthInfoResponse {
  static constexpr MessageNumber kNumber = MessageNumber::kUserauthInfoResponse;
  Counted<std::string> responses;
  MEZ_SSH_FIELDS(responses)
  bool valid() const { return responses.items.size() <= 256; }
};

}  // namespace mezite::ssh
