// What a hostile peer says during authentication, and what must come of it. Named after the incidents.
#include <gtest/gtest.h>

#include "ssh/endpoint/testing.hh"

namespace mezite::ssh::endpoint_testing {
namespace {

void expect_ended(RawClientTest& test) {
  EXPECT_TRUE(test.server->wants_close());
  EXPECT_EQ(test.handler.closes, 1);
  EXPECT_FALSE(test.handler.identity);
}

// The server took USERAUTH_SUCCESS from the client.
TEST(HostileAuth, LibsshCve2018_10933_ServersMessageFromTheClient) {
  for (std::uint8_t number : Bytes{51, 52, 53, 60, 63, 79}) {
    RawClientTest test;
    test.peer.say_raw(Bytes{number});
    test.run();
    expect_ended(test);
    EXPECT_TRUE(test.handler.auth.empty());
  }
}

// Channel messages were handled before authentication.
TEST(HostileAuth, ErlangCve2025_32433_ConnectionMessageBeforeAuthentication) {
  for (std::uint8_t number = 80; number <= 100; ++number) {
    RawClientTest test;
    Bytes payload = number == 90 ? encode(wire::ChannelOpen{"session", 0, 1 << 20, 32768, {}})
                                 : Bytes{number, 0, 0, 0, 0, 0, 0, 0, 0};
    test.peer.say_raw(payload);
    test.run();
    EXPECT_TRUE(test.handler.opens.empty());
    expect_ended(test);
  }
}

// The permissions were those of the key last offered, not of the one that signed.
TEST(HostileAuth, XCryptoCve2024_45337_OffersOneKeySignsWithAnother) {
  RawClientTest test;
  const auto admin = new_key();
  const auto mine = new_key();
  test.handler.when_auth = [&](const AuthRequest& request, AuthResponder responder) {
    // Both keys are known; who it is depends on the key that signed.
    (void)request;
    responder.accept();
  };
  const Bytes offer = encode(UserauthPublickey{false, "ssh-ed25519", mine->public_key().wire(), std::nullopt});
  const Bytes admins = encode(UserauthPublickey{false, "ssh-ed25519", admin->public_key().wire(), std::nullopt});
  test.peer.say(test.request("publickey", offer));
  test.peer.say_raw(test.publickey(*mine));
  test.peer.say(test.request("publickey", admins));
  test.run();
  ASSERT_TRUE(test.handler.identity);
  EXPECT_EQ(*test.handler.identity->key, mine->public_key());

  // And a proof that names the admin's key but is signed by another is no proof.
  RawClientTest forged;
  forged.peer.say(forged.request("publickey", admins));
  UserauthPublickeySigned to_sign;
  to_sign.session_id = to_bytes(forged.peer.transport->session_id());
  to_sign.user = "alice";
  to_sign.service = "ssh-connection";
  to_sign.algorithm = "ssh-ed25519";
  to_sign.public_key = admin->public_key().wire();
  const auto signature = mine->sign("ssh-ed25519", encode(to_sign));
  const Bytes part = encode(UserauthPublickey{true, "ssh-ed25519", admin->public_key().wire(), BytesView(*signature)});
  forged.peer.say(forged.request("publickey", part));
  forged.run();
  EXPECT_EQ(forged.peer.take_numbers(), (std::vector<int>{60, 51}));
  EXPECT_FALSE(forged.handler.identity);
  ASSERT_EQ(forged.handler.auth.size(), 1u);  // asked about the offer only
  EXPECT_EQ(forged.handler.refused.size(), 1u);
}

TEST(HostileAuth, SignatureOverAnotherSessionUserServiceOrAlgorithm) {
  const std::vector<std::function<void(UserauthPublickeySigned&)>> spoils = {
      [](auto& s) { s.session_id[0] ^= 1; },    [](auto& s) { s.session_id.pop_back(); },
      [](auto& s) { s.user = "root"; },         [](auto& s) { s.service = "ssh-userauth"; },
      [](auto& s) { s.method = "hostbased"; },  [](auto& s) { s.algorithm = "ssh-ed25519-cert-v01@openssh.com"; },
      [](auto& s) { s.has_signature = false; }, [](auto& s) { s.number = 51; },
  };
  for (std::size_t i = 0; i < spoils.size(); ++i) {
    RawClientTest test;
    const auto key = new_key();
    test.peer.say_raw(test.publickey(*key, "alice", spoils[i]));
    test.run();
    EXPECT_EQ(test.peer.take_numbers(), std::vector<int>{51}) << i;
    EXPECT_TRUE(test.handler.auth.empty()) << i;
    EXPECT_EQ(test.handler.refused.size(), 1u) << i;
  }
}

TEST(HostileAuth, SignatureUnderSha1IsRefused) {
  RawClientTest test;
  const auto key = new_key(KeyType::kRsa);
  const Bytes part = encode(UserauthPublickey{false, "ssh-rsa", key->public_key().wire(), std::nullopt});
  test.peer.say(test.request("publickey", part));
  test.run();
  EXPECT_EQ(test.peer.take_numbers(), std::vector<int>{51});
  EXPECT_TRUE(test.handler.auth.empty());
}

TEST(HostileAuth, UserNameThatChangesMidway) {
  RawClientTest test;
  test.handler.when_auth = [](const AuthRequest&, AuthResponder responder) { responder.reject(); };
  const auto key = new_key();
  test.peer.say_raw(test.publickey(*key, "alice"));
  test.run();
  test.peer.say_raw(test.publickey(*key, "root"));
  test.run();
  EXPECT_EQ(test.handler.auth.size(), 1u);
  expect_ended(test);
}

TEST(HostileAuth, AnotherServiceThanTheConnection) {
  RawClientTest test;
  test.peer.say(test.request("none", {}, "alice", "ssh-userauth"));
  test.run();
  expect_ended(test);
}

TEST(HostileAuth, NamesThatAreNoNames) {
  for (const std::string& user :
       {std::string(100'000, 'a'), std::string("a\0b", 3), std::string("a\nb"), std::string("\xff\xfe")}) {
    RawClientTest test;
    test.peer.say(test.request("none", {}, user));
    test.run();
    expect_ended(test);
    EXPECT_EQ(test.peer.disconnect_reason, DisconnectReason::kIllegalUserName);
  }
}

// A count of answers that nobody had asked for made the server allocate, or panic.
TEST(HostileAuth, RusshCve2026_42189_ImpossibleCountOfAnswers) {
  auto config = server_config();
  config->methods = {AuthMethod::kKeyboardInteractive};
  for (std::uint32_t count : {0u, 2u, 0x7fffffffu, 0xffffffffu}) {
    RawClientTest test(config);
    test.handler.when_auth = [](const AuthRequest& request, AuthResponder responder) {
      EXPECT_EQ(request.round, 0u);
      responder.challenge({"", "", {{"Password: ", false}}});
    };
    test.peer.say(test.request("keyboard-interactive", encode(UserauthKeyboardInteractive{})));
    test.run();
    EXPECT_EQ(test.peer.take_numbers(), std::vector<int>{60});
    Bytes payload{61};
    Writer(payload).u32(count).string("x");
    test.peer.say_raw(payload);
    test.run();
    EXPECT_EQ(test.handler.auth.size(), 1u);
    expect_ended(test);
  }
}

TEST(HostileAuth, AnswersWithoutAChallenge) {
  RawClientTest test;
  Bytes payload{61};
  Writer(payload).u32(0);
  test.peer.say_raw(payload);
  test.run();
  expect_ended(test);
}

TEST(HostileAuth, GuessingEndsAfterSixAttempts) {
  RawClientTest test;
  test.handler.when_auth = [](const AuthRequest&, AuthResponder responder) { responder.reject(); };
  const auto key = new_key();
  test.peer.say(test.request("none"));
  for (int i = 0; i < 20; ++i) test.peer.say_raw(test.publickey(*key));
  test.run();
  EXPECT_EQ(test.handler.auth.size(), 6u);
  EXPECT_EQ(test.peer.take_numbers(), (std::vector<int>{51, 51, 51, 51, 51, 51}));
  expect_ended(test);
  EXPECT_EQ(test.handler.closed->code, ErrorCode::kUnauthenticated);
}

TEST(HostileAuth, OffersAreBoundedToo) {
  RawClientTest test;
  test.handler.when_auth = [](const AuthRequest&, AuthResponder responder) { responder.reject(); };
  const auto key = new_key();
  const Bytes part = encode(UserauthPublickey{false, "ssh-ed25519", key->public_key().wire(), std::nullopt});
  for (int i = 0; i < 100; ++i) test.peer.say(test.request("publickey", part));
  test.run();
  EXPECT_EQ(test.handler.auth.size(), 32u);
  expect_ended(test);
}

TEST(HostileAuth, MethodsThatAreNotOfferedFailAndCount) {
  RawClientTest test;
  for (const char* method : {"password", "hostbased", "gssapi-with-mic", "nonsense"}) {
    Bytes part;
    Writer(part).boolean(false).string("secret");
    test.peer.say(test.request(method, part));
  }
  test.peer.say(test.request("keyboard-interactive", encode(UserauthKeyboardInteractive{})));
  test.run();
  EXPECT_EQ(test.peer.take_numbers(), (std::vector<int>{51, 51, 51, 51, 51}));
  EXPECT_TRUE(test.handler.auth.empty());
  test.peer.say(test.request("password"));
  test.run();
  expect_ended(test);
}

// Existing and unknown users cannot be told apart by bytes.
TEST(HostileAuth, RefusalsAreTheSameBytes) {
  std::vector<std::vector<Bytes>> conversations;
  for (const char* user : {"alice", "nobody"}) {
    RawClientTest test;
    test.handler.when_auth = [&](const AuthRequest& request, AuthResponder responder) {
      if (request.user == "alice") return responder.reject();  // known, wrong key
      // unknown: dropped
    };
    const auto key = new_key();
    test.peer.say(test.request("none", {}, user));
    test.peer.say_raw(test.publickey(*key, user));
    test.peer.say_raw(test.publickey(*key, user, [](auto& s) { s.user = "x"; }));
    test.run();
    conversations.push_back(test.peer.packets);
  }
  EXPECT_EQ(conversations[0].size(), 3u);
  EXPECT_EQ(conversations[0], conversations[1]);
}

TEST(HostileAuth, KeysOfAbsurdNumbersAreRefusedBeforeAnythingIsAsked) {
  RawClientTest test;
  std::vector<Bytes> blobs;
  const auto blob = [](std::string_view name, std::vector<Bytes> fields) {
    Bytes out;
    Writer writer(out);
    writer.string(name);
    for (const Bytes& field : fields) writer.string(field);
    return out;
  };
  blobs.push_back({});
  blobs.push_back(blob("ssh-ed25519", {Bytes(31, 1)}));
  blobs.push_back(blob("ssh-rsa", {Bytes{1, 0, 1}, Bytes(20'000, 0x7f)}));
  blobs.push_back(blob("ssh-rsa", {Bytes{1, 0, 1}, Bytes(64, 0x7f)}));
  blobs.push_back(blob("ssh-rsa", {Bytes{}, Bytes(256, 0x7f)}));
  for (const Bytes& bad : blobs) {
    const bool rsa = bad.size() > 10 && bad[10] == 'a';
    const Bytes part = encode(UserauthPublickey{false, rsa ? "rsa-sha2-256" : "ssh-ed25519", bad, std::nullopt});
    test.peer.say(test.request("publickey", part));
  }
  test.run();
  EXPECT_EQ(test.peer.take_numbers(), std::vector<int>(blobs.size(), 51));
  EXPECT_TRUE(test.handler.auth.empty());
}

TEST(HostileAuth, AKeyUnderAnotherKeysAlgorithm) {
  RawClientTest test;
  const auto key = new_key(KeyType::kEcdsaP256);
  for (const char* algorithm : {"ssh-ed25519", "rsa-sha2-256", "ecdsa-sha2-nistp256-cert-v01@openssh.com"}) {
    const Bytes part = encode(UserauthPublickey{false, algorithm, key->public_key().wire(), std::nullopt});
    test.peer.say(test.request("publickey", part));
  }
  test.run();
  EXPECT_EQ(test.peer.take_numbers(), (std::vector<int>{51, 51, 51}));
  EXPECT_TRUE(test.handler.auth.empty());
}

TEST(HostileAuth, WhatIsSentAheadWaitsForTheDecision) {
  RawClientTest test;
  std::optional<AuthResponder> later;
  test.handler.when_auth = [&](const AuthRequest&, AuthResponder responder) { later = std::move(responder); };
  const auto key = new_key();
  test.peer.say_raw(test.publickey(*key));
  test.peer.say_raw(test.publickey(*key));
  test.run();
  EXPECT_EQ(test.handler.auth.size(), 1u);
  auto first = std::exchange(later, std::nullopt);
  first->reject();
  EXPECT_EQ(test.handler.auth.size(), 2u);  // the next one is asked now
  ASSERT_TRUE(later);
  later->accept();
  test.run();
  EXPECT_EQ(test.peer.take_numbers(), (std::vector<int>{51, 52}));
}

TEST(HostileAuth, ChannelOpenSentAheadOfSuccessIsRefused) {
  RawClientTest test;
  std::optional<AuthResponder> later;
  test.handler.when_auth = [&](const AuthRequest&, AuthResponder responder) { later = std::move(responder); };
  const auto key = new_key();
  test.peer.say_raw(test.publickey(*key));
  test.peer.say(wire::ChannelOpen{"session", 0, 1 << 20, 32768, {}});
  test.run();
  EXPECT_TRUE(test.handler.opens.empty());
  later->reject();
  test.run();
  EXPECT_TRUE(test.handler.opens.empty());
  expect_ended(test);
}

TEST(HostileAuth, RequestsAfterSuccessDoNothing) {
  RawClientTest test;
  test.log_in();
  const auto key = new_key();
  test.peer.say_raw(test.publickey(*key));
  test.run();
  EXPECT_EQ(test.handler.auth.size(), 1u);
}

TEST(HostileAuth, SecondKeyAfterAFirstIsRefused) {
  RawClientTest test;
  test.handler.when_auth = [](const AuthRequest& request, AuthResponder responder) {
    if (request.method == AuthMethod::kPublicKey) {
      return responder.partial({AuthMethod::kPublicKey, AuthMethod::kKeyboardInteractive});
    }
    responder.reject();
  };
  const auto first = new_key();
  const auto second = new_key();
  test.peer.say_raw(test.publickey(*first));
  test.peer.say_raw(test.publickey(*second));
  test.run();
  EXPECT_EQ(test.handler.auth.size(), 1u);
  ASSERT_EQ(test.peer.packets.size(), 2u);
  const auto failure = decode<UserauthFailure>(test.peer.packets[0]);
  ASSERT_TRUE(failure);
  EXPECT_TRUE(failure->partial_success);
  EXPECT_EQ(failure->methods.to_text(), "keyboard-interactive");
}

// ---- hostile servers

struct RawServerTest {
  explicit RawServerTest(ClientConfig config = {}) : peer(Role::kServer, clock, new_key()) {
    config.user = "alice";
    if (config.identities.empty()) config.identities = {Identity{new_key(), {}}};
    client = std::make_unique<ClientEndpoint>(std::move(config), handler, clock);
    run();
  }
  void run() { pump(peer, *client); }

  ManualClock clock;
  RecordingClient handler;
  RawPeer peer;
  std::unique_ptr<ClientEndpoint> client;
};

TEST(HostileServer, AcceptsAKeyThatWasNotOffered) {
  ClientConfig config;
  config.identities = {Identity{new_key(), {}}, Identity{new_key(), {}}};
  RawServerTest test(std::move(config));
  test.peer.packets.clear();
  test.peer.say(UserauthFailure{NameList{"publickey"}, false});
  test.run();
  ASSERT_EQ(test.peer.take_numbers(), std::vector<int>{50});
  const auto other = new_key();
  test.peer.say(UserauthPkOk{"ssh-ed25519", other->public_key().wire()});
  test.run();
  EXPECT_TRUE(test.client->wants_close());
  EXPECT_EQ(test.handler.closed->code, ErrorCode::kProtocol);
}

TEST(HostileServer, ClientsMessagesAndAbsurdChallenges) {
  const auto challenge = [](std::uint32_t count) {
    Bytes payload{60};
    Writer(payload).string("").string("").string("").u32(count);
    return payload;
  };
  for (const Bytes& payload : {encode(UserauthRequest{"a", "ssh-connection", "none", {}}), Bytes{61, 0, 0, 0, 0},
                               challenge(1), Bytes{60}, Bytes{52, 0}}) {
    RawServerTest test;
    test.peer.say_raw(payload);
    test.run();
    EXPECT_TRUE(test.client->wants_close());
    EXPECT_EQ(test.handler.authenticated, 0);
  }
  for (std::uint32_t count : {1u, 65u, 0xffffffffu}) {
    RawServerTest test;
    test.peer.say(UserauthFailure{NameList{"keyboard-interactive"}, false});
    test.run();
    test.peer.say_raw(challenge(count));
    test.run();
    EXPECT_TRUE(test.client->wants_close());
    EXPECT_TRUE(test.handler.challenges.empty());
  }
}

TEST(HostileServer, BannersWithoutEnd) {
  RawServerTest test;
  for (int i = 0; i < 100; ++i) test.peer.say(UserauthBanner{std::string(4096, 'b'), ""});
  test.run();
  EXPECT_TRUE(test.client->wants_close());
  EXPECT_LE(test.handler.banner.size(), 64u * 1024);
}

TEST(HostileServer, PartialSuccessWithoutEnd) {
  RawServerTest test;
  for (int i = 0; i < 1000 && !test.client->wants_close(); ++i) {
    test.peer.say(UserauthFailure{NameList{"keyboard-interactive"}, true});
    test.run();
  }
  EXPECT_TRUE(test.client->wants_close());
}

}  // namespace
}  // namespace mezite::ssh::endpoint_testing
