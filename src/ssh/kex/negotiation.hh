// What two KEXINIT messages agree on (RFC 4253 §7.1).
#pragma once

#include "base/result.hh"
#include "ssh/cipher/algorithms.hh"
#include "ssh/kex/algorithms.hh"
#include "ssh/keys/algorithm.hh"
#include "ssh/wire/transport_messages.hh"

namespace mezite::ssh {

struct DirectionAgreement {
  const CipherAlgorithm* cipher = nullptr;
  const MacAlgorithm* mac = nullptr;  // null with an AEAD
};

struct KexAgreement {
  const KexAlgorithm* kex = nullptr;
  const PublicKeyAlgorithm* host_key = nullptr;
  DirectionAgreement client_to_server;
  DirectionAgreement server_to_client;
  bool client_guessed_wrong = false;  // the client's next packet is a guess that is to be skipped
  bool server_guessed_wrong = false;
};

// kProtocol when a list has nothing in common, naming the list and both sides. Algorithms count only when this build
// knows them, so that a marker never wins.
Result<KexAgreement> negotiate_kex(const KexInit& client, const KexInit& server);

}  // namespace mezite::ssh
