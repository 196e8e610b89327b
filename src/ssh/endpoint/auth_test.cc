// Authentication between our own two ends.
#include <gtest/gtest.h>

#include "ssh/endpoint/testing.hh"
#include "ssh/keys/test_authenticator.hh"
#include "ssh/userauth/states.hh"

namespace mezite::ssh::endpoint_testing {
namespace {

using testing_tools::TestAuthenticator;

TEST(Auth, PublicKeyBindsTheKeyThatSigned) {
  ClientConfig client;
  const auto key = new_key();
  client.identities = {Identity{key, {}}};
  Pair pair(server_config(), std::move(client));
  pair.run();
  ASSERT_EQ(pair.client_handler.authenticated, 1);
  ASSERT_TRUE(pair.server_handler.identity);
  EXPECT_EQ(pair.server_handler.identity->user, "alice");
  EXPECT_EQ(*pair.server_handler.identity->key, key->public_key());
  EXPECT_EQ(pair.server_handler.identity->steps, std::vector{AuthMethod::kPublicKey});
  // One key is proven at once: one request.
  ASSERT_EQ(pair.server_handler.auth.size(), 1u);
  EXPECT_EQ(pair.server_handler.auth[0].proof, KeyProof::kProven);
  EXPECT_EQ(pair.server->session_id().size(), pair.client->session_id().size());
  EXPECT_TRUE(std::ranges::equal(pair.server->session_id(), pair.client->session_id()));
}

TEST(Auth, EveryKeyTypeAndItsCertificate) {
  const auto ca = new_key();
  for (KeyType type : {KeyType::kEd25519, KeyType::kEcdsaP256, KeyType::kEcdsaP384, KeyType::kEcdsaP521, KeyType::kRsa,
                       KeyType::kSkEd25519, KeyType::kSkEcdsaP256}) {
    for (bool certified : {false, true}) {
      const std::shared_ptr<const Signer> key =
          is_fido(type) ? std::make_shared<const TestAuthenticator>(type) : new_key(type);
      Identity identity{key, {}};
      if (certified) {
        ManualClock clock;
        auto certificate = sign_certificate({.public_key = key->public_key(),
                                             .key_id = "alice",
                                             .principals = {"alice"},
                                             .valid_after = clock.now(),
                                             .valid_before = clock.now() + std::chrono::hours(1)},
                                            *ca);
        ASSERT_TRUE(certificate) << certificate.error().message;
        identity.certificate = *certificate;
      }
      ClientConfig client;
      client.identities = {identity};
      Pair pair(server_config(), std::move(client));
      pair.run();
      ASSERT_TRUE(pair.server_handler.identity) << static_cast<int>(type) << certified;
      EXPECT_EQ(*pair.server_handler.identity->key, key->public_key());
      EXPECT_EQ(pair.server_handler.identity->certificate.has_value(), certified);
      if (type == KeyType::kRsa) {
        EXPECT_TRUE(pair.server_handler.auth[0].algorithm.starts_with("rsa-sha2-"));
      }
    }
  }
}

// What a security key shows decides, and only a certificate's extension lifts the touch.
TEST(Auth, SecurityKeysMustHaveBeenTouched) {
  struct Case {
    std::uint8_t flags;
    CertificateOptions critical, extensions;
    bool certified, enters;
  };
  const Case cases[] = {
      {1, {}, {}, false, true},
      {0, {}, {}, false, false},
      {4, {}, {}, false, false},  // a PIN is no touch
      {0, {}, default_user_extensions(), true, false},
      {1, {}, default_user_extensions(), true, true},
      {0, {}, {{"no-touch-required", {}}}, true, true},
      {1, {{"verify-required", {}}}, {}, true, false},
      {5, {{"verify-required", {}}}, {}, true, true},
      {4, {{"verify-required", {}}}, {{"no-touch-required", {}}}, true, true},
      {0, {{"verify-required", {}}}, {{"no-touch-required", {}}}, true, false},
  };
  const auto ca = new_key();
  for (const KeyType type : {KeyType::kSkEd25519, KeyType::kSkEcdsaP256}) {
    for (const Case& each : cases) {
      const auto key = std::make_shared<TestAuthenticator>(type);
      key->shows = {.flags = each.flags, .counter = 1};
      Identity identity{key, {}};
      if (each.certified) {
        ManualClock clock;
        identity.certificate = *sign_certificate({.public_key = key->public_key(),
                                                  .key_id = "alice",
                                                  .principals = {"alice"},
                                                  .valid_after = clock.now(),
                                                  .valid_before = clock.now() + std::chrono::hours(1),
                                                  .critical_options = each.critical,
                                                  .extensions = each.extensions},
                                                 *ca);
      }
      ClientConfig client;
      client.identities = {identity};
      Pair pair(server_config(), std::move(client));
      pair.run();
      EXPECT_EQ(pair.server_handler.identity.has_value(), each.enters) << int{each.flags} << each.certified;
    }
  }
}

TEST(Auth, SeveralKeysAreOfferedAndTheRightOneProven) {
  ClientConfig client;
  const auto right = new_key();
  client.identities = {Identity{new_key(), {}}, Identity{new_key(KeyType::kEcdsaP256), {}}, Identity{right, {}}};
  Pair pair(server_config(), std::move(client));
  pair.server_handler.when_auth = [&](const AuthRequest& request, AuthResponder responder) {
    if (*request.key == right->public_key()) {
      responder.accept();
    } else {
      responder.reject();
    }
  };
  pair.run();
  ASSERT_TRUE(pair.server_handler.identity);
  ASSERT_EQ(pair.server_handler.auth.size(), 4u);  // three offers, one proof
  EXPECT_EQ(pair.server_handler.auth[2].proof, KeyProof::kOffered);
  EXPECT_EQ(pair.server_handler.auth[3].proof, KeyProof::kProven);
  EXPECT_EQ(*pair.server_handler.identity->key, right->public_key());
}

TEST(Auth, DecisionMayComeLaterAndTheClientWaits) {
  Pair pair;
  std::optional<AuthResponder> later;
  pair.server_handler.when_auth = [&](const AuthRequest&, AuthResponder responder) { later = std::move(responder); };
  int wakeups = 0;
  pair.server->set_wakeup([&] { ++wakeups; });
  pair.run();
  ASSERT_TRUE(later);
  EXPECT_TRUE(pair.server->read_space().empty());  // held back
  EXPECT_EQ(pair.client_handler.authenticated, 0);
  later->accept();
  EXPECT_EQ(wakeups, 1);
  EXPECT_FALSE(pair.server->read_space().empty());
  pair.run();
  EXPECT_EQ(pair.client_handler.authenticated, 1);
}

TEST(Auth, AnswersAfterTheEndAreHarmless) {
  std::optional<AuthResponder> later;
  {
    Pair pair;
    pair.server_handler.when_auth = [&](const AuthRequest&, AuthResponder responder) { later = std::move(responder); };
    pair.run();
    ASSERT_TRUE(later);
  }
  later->accept();
}

TEST(Auth, ADroppedResponderRefuses) {
  Pair pair;
  pair.server_handler.when_auth = [](const AuthRequest&, AuthResponder) {};
  pair.run();
  ASSERT_TRUE(pair.client_handler.closed);
  EXPECT_EQ(pair.client_handler.closed->code, ErrorCode::kUnauthenticated);
  EXPECT_FALSE(pair.server_handler.identity);
  EXPECT_EQ(pair.client_handler.closes, 1);
  EXPECT_EQ(pair.server_handler.closes, 1);
}

std::vector<Secret> one_answer(std::string_view text) {
  std::vector<Secret> answers;
  answers.emplace_back(text);
  return answers;
}

TEST(Auth, KeyboardInteractiveInTwoRounds) {
  auto config = server_config();
  config->methods = {AuthMethod::kKeyboardInteractive};
  config->banner = "welcome\n";
  Pair pair(config);
  pair.server_handler.when_auth = [](const AuthRequest& request, AuthResponder responder) {
    if (request.round == 0) return responder.challenge({"", "", {{"Password: ", false}}});
    if (request.round == 1 && request.answers[0].text() == "secret") {
      return responder.challenge({"MFA", "second factor", {{"Code: ", true}}});
    }
    if (request.round == 2 && request.answers[0].text() == "123456") return responder.accept();
    responder.reject();
  };
  std::optional<ChallengeResponder> later;
  pair.client_handler.when_challenge = [&](const KeyboardInteractiveChallenge& challenge,
                                           ChallengeResponder responder) {
    if (challenge.name == "MFA") {
      later = std::move(responder);
    } else {
      responder.answer(one_answer("secret"));
    }
  };
  pair.run();
  ASSERT_TRUE(later);  // the user thinks
  later->answer(one_answer("123456"));
  pair.run();
  EXPECT_EQ(pair.client_handler.authenticated, 1);
  EXPECT_EQ(pair.client_handler.banner, "welcome\n");
  ASSERT_EQ(pair.client_handler.challenges.size(), 2u);
  EXPECT_FALSE(pair.client_handler.challenges[0].prompts[0].echo);
  EXPECT_TRUE(pair.client_handler.challenges[1].prompts[0].echo);
  EXPECT_FALSE(pair.server_handler.identity->key);
}

// x/crypto CVE-2026-46595 and CVE-2026-39828: what the certificate of the first step restricts was forgotten by the
// second.
TEST(Auth, RestrictionsOfAllStepsStayInForce) {
  Pair pair;
  pair.server_handler.when_auth = [](const AuthRequest& request, AuthResponder responder) {
    if (request.method == AuthMethod::kPublicKey) {
      Restrictions restrictions;
      restrictions.pty = false;
      restrictions.force_commands = {"/bin/date"};
      restrictions.source_addresses = {"10.0.0.0/8"};
      return responder.partial({AuthMethod::kKeyboardInteractive, AuthMethod::kPublicKey}, restrictions);
    }
    if (request.round == 0) return responder.challenge({"", "", {{"Code: ", true}}});
    Restrictions restrictions;
    restrictions.source_addresses = {"10.1.0.0/16"};
    restrictions.port_forwarding = false;
    responder.accept(restrictions);
  };
  pair.client_handler.when_challenge = [](const auto&, ChallengeResponder responder) {
    responder.answer(one_answer("1"));
  };
  pair.run();
  ASSERT_TRUE(pair.server_handler.identity);
  const PeerIdentity& identity = *pair.server_handler.identity;
  EXPECT_FALSE(identity.restrictions.pty);
  EXPECT_FALSE(identity.restrictions.port_forwarding);
  EXPECT_TRUE(identity.restrictions.agent_forwarding);
  EXPECT_EQ(identity.restrictions.force_commands, std::vector<std::string>{"/bin/date"});
  EXPECT_EQ(identity.restrictions.source_addresses, (std::vector<std::string>{"10.0.0.0/8", "10.1.0.0/16"}));
  EXPECT_TRUE(identity.key);
  EXPECT_EQ(identity.steps, (std::vector{AuthMethod::kPublicKey, AuthMethod::kKeyboardInteractive}));
}

TEST(Auth, TwoDifferentForcedCommandsFail) {
  Pair pair;
  pair.server_handler.when_auth = [](const AuthRequest& request, AuthResponder responder) {
    Restrictions restrictions;
    if (request.method == AuthMethod::kPublicKey) {
      restrictions.force_commands = {"/bin/date"};
      return responder.partial({AuthMethod::kKeyboardInteractive}, restrictions);
    }
    restrictions.force_commands = {"/bin/id"};
    responder.accept(restrictions);
  };
  pair.run();
  EXPECT_FALSE(pair.server_handler.identity);
  ASSERT_FALSE(pair.server_handler.refused.empty());
  EXPECT_EQ(pair.server_handler.refused[0], "two steps force different commands");
}

TEST(Auth, ServerThatNobodyAnswersIsLeftByTime) {
  Pair pair;
  pair.server_handler.when_auth = [&](const AuthRequest&, AuthResponder responder) {
    static std::optional<AuthResponder> kept;
    kept = std::move(responder);
  };
  pair.run();
  pair.clock.advance(std::chrono::seconds(121));
  pair.server->on_time();
  ASSERT_TRUE(pair.server_handler.closed);
  EXPECT_EQ(pair.server_handler.closed->code, ErrorCode::kTimeout);
  EXPECT_TRUE(pair.server->wants_close());
}

TEST(Auth, HostKeyThatIsNotBelievedEndsTheConnection) {
  Pair pair;
  pair.client_handler.host_verdict = fail(ErrorCode::kUnauthenticated, "the host key is not known");
  pair.run();
  ASSERT_TRUE(pair.client_handler.closed);
  EXPECT_EQ(pair.client_handler.closed->message, "the host key is not known");
  EXPECT_TRUE(pair.server_handler.auth.empty());
  EXPECT_EQ(pair.server_handler.closes, 1);
}

TEST(Auth, HandlerMayDestroyTheEndpointFromEveryCallback) {
  for (int at = 0; at < 3; ++at) {
    Pair pair;
    const auto destroy = [&] { pair.server.reset(); };
    if (at == 0) pair.server_handler.when_auth = [&](const AuthRequest&, AuthResponder) { destroy(); };
    if (at == 1) pair.server_handler.when_authenticated = destroy;
    if (at == 2) pair.server_handler.when_open = [&](const ChannelOpen&, ChannelOpenResponder) { destroy(); };
    auto channel = std::make_shared<RecordingHandler>();
    pair.client_handler.when_authenticated = [&] { pair.client->open_channel(SessionOpen{}, channel); };
    for (int i = 0; i < 100 && pair.server; ++i) {
      // A pump of its own, which looks whether the server is there still.
      const BytesView out = pair.client->pending_output();
      if (!out.empty()) {
        const auto space = pair.server->read_space();
        const std::size_t size = std::min(out.size(), space.size());
        std::copy_n(out.begin(), size, space.begin());
        pair.client->consume_output(size);
        pair.server->commit_read(size);
      }
      if (!pair.server) break;
      const BytesView back = pair.server->pending_output();
      const auto space = pair.client->read_space();
      const std::size_t size = std::min(back.size(), space.size());
      std::copy_n(back.begin(), size, space.begin());
      pair.server->consume_output(size);
      pair.client->commit_read(size);
    }
    EXPECT_FALSE(pair.server) << at;
    EXPECT_EQ(pair.server_handler.closes, 0);
  }
}

TEST(Auth, TablesListNoServerMessageForServers) {
  // libssh CVE-2018-10933: USERAUTH_SUCCESS sent by the client let it in.
  for (const auto& rule : kServerAuthRules) {
    EXPECT_NE(rule.message, MessageNumber::kUserauthSuccess);
    EXPECT_NE(rule.message, MessageNumber::kUserauthFailure);
    EXPECT_NE(rule.state, ServerAuthState::kDeciding);
  }
  EXPECT_NE(server_auth_rules_text().find("idle: SSH_MSG_USERAUTH_REQUEST"), std::string::npos);
  EXPECT_NE(client_auth_rules_text().find("key proven: SSH_MSG_USERAUTH_SUCCESS"), std::string::npos);
}

}  // namespace
}  // namespace mezite::ssh::endpoint_testing
