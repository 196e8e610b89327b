// OpenSSH's extensions of the protocol, between ends of ours and scripted ones.
#include <gtest/gtest.h>

#include "ssh/endpoint/host_keys.hh"
#include "ssh/endpoint/testing.hh"

namespace mezite::ssh::endpoint_testing {
namespace {

// ---- publickey-hostbound-v00@openssh.com

Bytes hostbound(RawClientTest& test, const Signer& key, BytesView host_key, BytesView signed_host_key) {
  const std::string algorithm(key.public_key().signature_algorithms().front());
  const auto part = [&](BytesView blob, OptionalTail signature) {
    return encode(UserauthPublickeyHostbound{true, algorithm, key.public_key().wire(), blob, signature});
  };
  Bytes to_sign;
  Writer(to_sign)
      .string(test.peer.transport->session_id())
      .raw(encode(test.request(kHostboundMethod, part(signed_host_key, std::nullopt))));
  const auto signature = key.sign(algorithm, to_sign);
  EXPECT_TRUE(signature);
  return encode(test.request(kHostboundMethod, part(host_key, BytesView(*signature))));
}

TEST(Hostbound, ClientsBindWhatTheySignToTheHostKey) {
  Pair pair;
  pair.run();
  ASSERT_TRUE(pair.server_handler.identity);
  ASSERT_EQ(pair.server_handler.auth.size(), 1u);
  EXPECT_EQ(pair.server_handler.auth[0].method, AuthMethod::kPublicKey);
  EXPECT_EQ(pair.server_handler.auth[0].proof, KeyProof::kProven);
}

TEST(Hostbound, TheRequestOnTheWireNamesTheHostKey) {
  // Our client against a scripted server, which announces it.
  ManualClock clock;
  const auto host_key = new_key();
  RawPeer peer(Role::kServer, clock, host_key);
  RecordingClient handler;
  ClientConfig config;
  config.user = "alice";
  config.identities = {Identity{new_key(), {}}};
  ClientEndpoint client(config, handler, clock);
  pump(peer, client);
  ASSERT_EQ(peer.packets.size(), 1u);
  const auto request = decode<UserauthRequest>(peer.packets[0]);
  ASSERT_TRUE(request);
  EXPECT_EQ(request->method, kHostboundMethod);
  const auto part = decode<UserauthPublickeyHostbound>(request->parameters.bytes);
  ASSERT_TRUE(part);
  EXPECT_EQ(to_bytes(part->host_key), host_key->public_key().wire());
}

TEST(Hostbound, AProofForThisServerIsTaken) {
  RawClientTest test;
  const auto key = new_key();
  const Bytes ours = to_bytes(test.peer.transport->host_key());
  ASSERT_FALSE(ours.empty());
  test.peer.say_raw(hostbound(test, *key, ours, ours));
  test.run();
  EXPECT_EQ(test.peer.take_numbers(), std::vector<int>{52});
  EXPECT_EQ(*test.handler.identity->key, key->public_key());
}

// Somebody in the middle, or with a forwarded agent, passes on what was signed for another server.
TEST(Hostbound, AProofForAnotherServerIsRefused) {
  const auto key = new_key();
  const Bytes other = new_key()->public_key().wire();
  {
    RawClientTest test;
    test.peer.say_raw(hostbound(test, *key, other, other));
    test.run();
    EXPECT_EQ(test.peer.take_numbers(), std::vector<int>{51});
    EXPECT_TRUE(test.handler.auth.empty());
    EXPECT_EQ(test.handler.refused.size(), 1u);
  }
  RawClientTest test;  // the key of this server is put in place of the one that was signed
  test.peer.say_raw(hostbound(test, *key, to_bytes(test.peer.transport->host_key()), other));
  test.run();
  EXPECT_EQ(test.peer.take_numbers(), std::vector<int>{51});
  EXPECT_TRUE(test.handler.auth.empty());
}

TEST(Hostbound, ASignatureOfTheOtherMethodIsRefused) {
  // The method's name is under the signature: neither form passes for the other.
  RawClientTest test;
  const auto key = new_key();
  Bytes plain = test.publickey(*key);
  const auto request = decode<UserauthRequest>(plain);
  const auto part = decode<UserauthPublickey>(request->parameters.bytes);
  const Bytes bound = encode(UserauthPublickeyHostbound{true, part->algorithm, part->public_key,
                                                        test.peer.transport->host_key(), part->signature});
  test.peer.say(test.request(kHostboundMethod, bound));
  test.run();
  EXPECT_EQ(test.peer.take_numbers(), std::vector<int>{51});
  EXPECT_TRUE(test.handler.auth.empty());
}

TEST(Hostbound, OffersAreAnsweredTheSame) {
  RawClientTest test;
  const auto key = new_key();
  const Bytes offer = encode(UserauthPublickeyHostbound{false, "ssh-ed25519", key->public_key().wire(),
                                                        test.peer.transport->host_key(), std::nullopt});
  test.peer.say(test.request(kHostboundMethod, offer));
  test.run();
  ASSERT_EQ(test.peer.packets.size(), 1u);
  EXPECT_TRUE(decode<UserauthPkOk>(test.peer.packets[0]));
  test.peer.say(test.request(kHostboundMethod, Bytes{0, 0, 0, 0, 9}));
  test.run();
  EXPECT_TRUE(test.server->wants_close());
}

// ---- hostkeys-00@openssh.com

std::shared_ptr<ServerConfig> announcing(std::vector<std::shared_ptr<const Signer>> keys) {
  auto config = server_config();
  config->announce_host_keys = true;
  config->transport.host_keys.clear();
  for (auto& key : keys) config->transport.host_keys.push_back({std::move(key), {}});
  return config;
}

TEST(HostKeys, AllAreAnnouncedAndProven) {
  const std::vector<std::shared_ptr<const Signer>> keys{new_key(), new_key(KeyType::kEcdsaP256),
                                                        new_key(KeyType::kRsa)};
  Pair pair(announcing(keys));
  pair.client_handler.when_host_keys = [](const auto& announced) { return announced; };
  pair.run();
  ASSERT_EQ(pair.client_handler.announced_keys.size(), 3u);
  for (std::size_t i = 0; i < 3; ++i) EXPECT_EQ(pair.client_handler.announced_keys[i], keys[i]->public_key());
  ASSERT_TRUE(pair.client_handler.proven_keys && *pair.client_handler.proven_keys);
  EXPECT_EQ(**pair.client_handler.proven_keys, pair.client_handler.announced_keys);
}

TEST(HostKeys, NothingIsAskedWhenAllAreKnown) {
  Pair pair(announcing({new_key()}));
  pair.run();
  EXPECT_EQ(pair.client_handler.announced_keys.size(), 1u);
  EXPECT_FALSE(pair.client_handler.proven_keys);
}

TEST(HostKeys, AForeignKeyIsNotProven) {
  Pair pair(announcing({new_key()}));
  pair.client_handler.when_host_keys = [](auto announced) {
    announced.push_back(new_key()->public_key());
    return announced;
  };
  pair.run();
  ASSERT_TRUE(pair.client_handler.proven_keys);
  EXPECT_FALSE(*pair.client_handler.proven_keys);
  EXPECT_FALSE(pair.client->wants_close());
}

TEST(HostKeys, ProofsOfAnotherSessionOrKeyAreRefused) {
  const auto key = new_key(), other = new_key();
  const std::vector<HostKey> host_keys{{key, {}}, {other, {}}};
  const std::vector<PublicKey> wanted{key->public_key()};
  const Bytes session(32, 1), elsewhere(32, 2);
  const auto proof = [&](const PublicKey& one, BytesView id) {
    return *prove_host_keys(host_keys, ask_for_host_keys({one}), id, "ssh-ed25519");
  };
  EXPECT_TRUE(check_host_key_proofs(wanted, proof(key->public_key(), session), session));
  EXPECT_FALSE(check_host_key_proofs(wanted, proof(key->public_key(), elsewhere), session));
  EXPECT_FALSE(check_host_key_proofs(wanted, proof(other->public_key(), session), session));
  EXPECT_FALSE(check_host_key_proofs(wanted, {}, session));
  Bytes trailing = proof(key->public_key(), session);
  trailing.push_back(0);
  EXPECT_FALSE(check_host_key_proofs(wanted, trailing, session));
}

TEST(HostKeys, TheServerSignsOnceAndOnlyWhatIsItsOwn) {
  const auto key = new_key();
  auto config = announcing({key});
  const auto ask = [&](BytesView payload, RawClientTest& test) {
    test.peer.say(wire::GlobalRequest{std::string(kProveHostKeysRequest), true, Rest{payload}});
    test.run();
    return test.peer.take_numbers();
  };
  const Bytes good = ask_for_host_keys({key->public_key()});
  Bytes twice = good;
  twice.insert(twice.end(), good.begin(), good.end());
  for (const Bytes& bad : {twice, Bytes(), Bytes{0, 0, 0, 9, 1}, ask_for_host_keys({new_key()->public_key()})}) {
    RawClientTest test(config);
    test.peer.say_raw(test.publickey(*new_key()));
    test.run();
    EXPECT_EQ(test.peer.take_numbers(), (std::vector<int>{52, 80}));
    EXPECT_EQ(ask(bad, test), std::vector<int>{82});
    EXPECT_FALSE(test.server->wants_close());
  }
  RawClientTest test(config);
  test.peer.say_raw(test.publickey(*new_key()));
  test.run();
  test.peer.packets.clear();
  EXPECT_EQ(ask(good, test), std::vector<int>{81});
  EXPECT_EQ(ask(good, test), std::vector<int>{82});  // signatures are not to be had by the thousand
}

TEST(HostKeys, HostileAnnouncementsAreHarmless) {
  EXPECT_TRUE(parse_host_keys(Bytes{0xff, 0xff, 0xff, 0xff}).empty());
  Bytes many;
  const auto key = new_key();
  for (int i = 0; i < 10000; ++i) Writer(many).string(i % 2 ? key->public_key().wire() : Bytes{1, 2, 3});
  EXPECT_EQ(parse_host_keys(many).size(), 1u);
  Bytes cut = ask_for_host_keys({key->public_key(), new_key()->public_key()});
  cut.pop_back();
  EXPECT_EQ(parse_host_keys(cut).size(), 1u);
}

// ---- no-more-sessions@openssh.com, eow@openssh.com, ping@openssh.com

TEST(NoMoreSessions, TheServerRefusesFurtherOnes) {
  Pair pair;
  pair.run();
  auto first = std::make_shared<RecordingHandler>(), second = std::make_shared<RecordingHandler>(),
       forward = std::make_shared<RecordingHandler>();
  pair.client->open_channel(SessionOpen{}, first);
  pair.run();
  pair.client->send_no_more_sessions();
  pair.client->send_no_more_sessions();
  pair.client->open_channel(SessionOpen{}, second);
  pair.client->open_channel(DirectTcpipOpen{"db", 1, "", 0}, forward);
  pair.run();
  EXPECT_EQ(first->opens, 1);
  ASSERT_TRUE(second->failure);
  EXPECT_EQ(second->failure->first, OpenFailure::kAdministrativelyProhibited);
  EXPECT_EQ(forward->opens, 1);
  EXPECT_TRUE(pair.server_handler.globals.empty());
}

TEST(EndOfWrite, ReachesTheOtherEndOnce) {
  Pair pair;
  pair.run();
  struct Stopped : RecordingHandler {
    void on_peer_stopped_reading() override { ++stops; }
    int stops = 0;
  };
  const auto session = std::make_shared<Stopped>();
  pair.client->open_channel(SessionOpen{}, session);
  pair.run();
  const Channel server_end = pair.server_handler.handlers.at(0)->channel;
  Channel(server_end).send_eow();
  Channel(server_end).send_eow();
  pair.run();
  EXPECT_EQ(session->stops, 1);
  EXPECT_TRUE(session->requests.empty());
  // The channel is open still, in both directions.
  EXPECT_EQ(session->channel.write(as_bytes("x")), 1u);
  Channel(server_end).write(as_bytes("y"));
  pair.run();
  EXPECT_EQ(session->out, "y");
}

TEST(EndOfWrite, OnlyThoseWhoKnowItAreTold) {
  auto config = server_config();
  config->transport.software = "SSH-2.0-Strange_1.0";
  ClientConfig client;
  client.transport.software = "SSH-2.0-Strange_1.0";
  Pair pair(config, client);
  pair.run();
  const auto session = std::make_shared<RecordingHandler>();
  pair.client->open_channel(SessionOpen{}, session);
  pair.run();
  session->channel.send_eow();
  pair.client->send_no_more_sessions();
  pair.client->open_channel(SessionOpen{}, std::make_shared<RecordingHandler>());
  pair.run();
  EXPECT_EQ(pair.server_handler.opens.size(), 2u);
}

TEST(EndOfWrite, AsARequestThatWantsAnAnswer) {
  RawClientTest test;
  test.log_in();
  test.open_session();
  test.peer.packets.clear();
  test.peer.say(wire::ChannelRequest{0, "eow@openssh.com", true, {}});
  test.run();
  EXPECT_EQ(test.peer.take_numbers(), std::vector<int>{100});
  test.peer.say(wire::ChannelRequest{0, "eow@openssh.com", false, Rest{Bytes{1}}});
  test.run();
  EXPECT_TRUE(test.server->wants_close());
}

TEST(ExtInfo, ServersSayWhatTheyUnderstand) {
  RawClientTest test;
  EXPECT_TRUE(test.peer.transport->peer_announced(PeerExtension::kHostbound));
  EXPECT_TRUE(test.peer.transport->peer_announced(PeerExtension::kPing));
  EXPECT_FALSE(test.peer.transport->server_sig_algs().empty());
  test.peer.say(Ping{.data = as_bytes("still there?")});
  test.run();  // answered by the transport; nothing reaches the authentication
  EXPECT_FALSE(test.server->wants_close());
}

}  // namespace
}  // namespace mezite::ssh::endpoint_testing
