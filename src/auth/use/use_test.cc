#include <gmock/gmock.h>

#include <atomic>
#include <thread>

#include "auth/testing.hh"
#include "auth/use/explain.hh"
#include "auth/use/hub_certificate.hh"
#include "auth/use/login.hh"
#include "auth/use/node.hh"
#include "auth/use/recording_access.hh"
#include "auth/use/session_data.hh"
#include "auth/use/user_certificate.hh"
#include "base/id.hh"
#include "crypto/hash.hh"
#include "recording/writer.hh"
#include "ssh/keys/certificate_check.hh"

namespace mezite::auth {
namespace {

using namespace std::chrono_literals;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::SizeIs;

std::string role(std::string_view name, std::string_view options, std::string_view logins) {
  return fmt::format(R"({{"kind":"role","version":"v1","metadata":{{"name":"{}"}},"spec":{{"options":{{{}}},)"
                     R"("allow":{{"node_labels":{{"env":"dev"}},"logins":[{}]}}}}}})",
                     name, options, logins);
}

class UseTest : public testing::ServicesTest {
 protected:
  std::string user_key() { return testing::NodeKeyPair::make().ssh_public_key; }
  Result<IssuedUserCertificate> issue(const Caller& who, std::optional<std::chrono::milliseconds> ttl = {}) {
    std::string key = user_key();
    return issue_user_certificate(*services_, who, {key, ttl});
  }
  Result<JoinedNode> join(const std::string& name, const std::string& token) {
    testing::NodeKeyPair keys = testing::NodeKeyPair::make();
    Bytes spki = keys.tls.public_key().spki();
    JoinOrder order{.token = token, .node_name = name, .hostname = name, .version = "1", .labels = {{"env", "dev"}}};
    order.ssh_public_key = keys.ssh_public_key;
    order.tls_public_key_spki = spki;
    return join_node(*services_, order, "192.0.2.9");
  }
  Caller agent(const std::string& name) {
    auto joined = join(name, join_token());
    EXPECT_TRUE(joined) << joined.error().message;
    Caller caller;
    caller.kind = Caller::Kind::kAgent;
    caller.name = joined->node_id;
    caller.node_name = name;
    return caller;
  }
  recording::Header header_of(const Caller& agent) {
    recording::Header header{.session_id = new_uuid(), .cluster_name = "test.mezite", .user = "alice", .login = "root"};
    header.node = agent.node_name;
    header.node_id = agent.name;
    header.started_at = system_clock().now();
    header.chain_key =
        seal_chain_key(Secret(std::size_t{32}), services_->recording_key.recipient(), header.session_id).value();
    return header;
  }
  // A whole recording and its header.
  std::pair<recording::Header, Bytes> record_session(const recording::Header& like) {
    const auto path = folder_.path() / (new_uuid() + ".mezrec");
    auto writer = recording::Writer::create(path, like, SteadyTime{}).value();
    EXPECT_TRUE(writer.write(recording::EventKind::kStdout, as_bytes("hello"), SteadyTime{}));
    EXPECT_TRUE(writer.finish({.exit_code = 0}, SteadyTime{}));
    return {writer.header(), read_file(path).value()};
  }
  recording::StoredRecording upload(const Caller& agent, const recording::Header& header, const Bytes& data) {
    const std::string json = recording::header_to_json(header);
    const auto sha256 = crypto::sha256(data);
    auto receipt = put_recording_chunk(
        *services_, agent,
        {.session_id = header.session_id, .data = data, .last = true, .sha256 = sha256, .header_json = json});
    EXPECT_TRUE(receipt && receipt->verified);
    return services_->recordings.get(header.session_id).value();
  }
  std::string event_json(audit::EventKind kind, std::string_view server_id) {
    audit::Event event = audit::make_event(kind);
    event.server_id = server_id;
    event.server_hostname = "forged";
    event.cluster_name = "forged.cluster";
    event.user_name = "alice";
    return audit::to_canonical_json(event);
  }
};

TEST_F(UseTest, LoginGivesASessionAndAnEvent) {
  add_user("alice", {"access"});
  auto session = login(*services_, {"alice", testing::kPassword, "192.0.2.7", "mezctl"});
  ASSERT_TRUE(session) << session.error().message;
  auto who = caller_of_session(*services_, session->token, "192.0.2.7");
  ASSERT_TRUE(who);
  EXPECT_EQ(who->name, "alice");
  EXPECT_THAT(who->role_names, ElementsAre("access"));
  ASSERT_THAT(events("user.login"), SizeIs(1));
  EXPECT_THAT(events("user.login")[0], HasSubstr("192.0.2.7"));
  ASSERT_TRUE(logout(*services_, *who, session->token));
  EXPECT_FALSE(caller_of_session(*services_, session->token, ""));
}

TEST_F(UseTest, WrongPasswordAndUnknownUserReadTheSame) {
  add_user("alice", {"access"});
  auto wrong = login(*services_, {"alice", "not it at all", "192.0.2.7", "mezctl"});
  auto unknown = login(*services_, {"mallory", "not it at all", "192.0.2.7", "mezctl"});
  ASSERT_FALSE(wrong);
  ASSERT_FALSE(unknown);
  EXPECT_EQ(wrong.error(), unknown.error());
  EXPECT_EQ(wrong.error().code, ErrorCode::kUnauthenticated);
  EXPECT_THAT(events("user.login.failed"), SizeIs(2));
  EXPECT_THAT(wrong.error().message, Not(HasSubstr("alice")));
}

TEST_F(UseTest, GuessingLocksOutAndSaysSoInTheLog) {
  add_user("alice", {"access"});
  for (int i = 0; i < identity::kFreeAttempts + 1; ++i) {
    EXPECT_FALSE(login(*services_, {"alice", "not it at all", "192.0.2.7", "web"}));
  }
  EXPECT_FALSE(login(*services_, {"alice", testing::kPassword, "192.0.2.7", "web"}));
  EXPECT_THAT(events("user.locked_out"), SizeIs(::testing::Ge(1U)));
}

TEST(UserCertificateTtl, IsTheLeastOfAll) {
  EXPECT_EQ(user_certificate_ttl({}, 12h), 12h);
  EXPECT_EQ(user_certificate_ttl({}, 48h), 12h);
  EXPECT_EQ(user_certificate_ttl(30min, 12h), 30min);
  EXPECT_EQ(user_certificate_ttl(48h, 72h), 24h);
  EXPECT_EQ(user_certificate_ttl(20h, 1h), 1h);
  EXPECT_EQ(user_certificate_ttl(1500ms, 12h), 1s);
  EXPECT_EQ(user_certificate_ttl({}, 10ms), 1s);
}

TEST_F(UseTest, UserCertificateHoldsWhatTheRolesSay) {
  add_role(role("short", R"("max_session_ttl":"1h","pin_source_ip":true,"port_forwarding":false)",
                R"("ubuntu","{{internal.logins}}")"));
  add_role(role("more", "", R"("deploy")"));
  add_user("alice", {"short", "more"}, {{"logins", {"alice-dev"}}});
  auto issued = issue(caller("alice"));
  ASSERT_TRUE(issued) << issued.error().message;
  auto certificate = ssh::Certificate::from_text(issued->certificate);
  ASSERT_TRUE(certificate) << certificate.error().message;
  EXPECT_EQ(certificate->key_id(), "alice");
  EXPECT_THAT(certificate->valid_principals(), ::testing::UnorderedElementsAre("ubuntu", "alice-dev", "deploy"));
  auto life = certificate->valid_before() - certificate->valid_after();
  EXPECT_LE(life, 3600U + 61U);
  EXPECT_GE(life, 3600U);
  ASSERT_NE(certificate->find_critical_option("source-address"), nullptr);
  EXPECT_EQ(ssh::option_text(*certificate->find_critical_option("source-address")), "192.0.2.7/32");
  EXPECT_EQ(certificate->find_extension("permit-port-forwarding"), nullptr);
  EXPECT_NE(certificate->find_extension("permit-pty"), nullptr);
  EXPECT_NE(certificate->find_extension("roles@mezite.com"), nullptr);
  EXPECT_NE(certificate->find_extension("login-time@mezite.com"), nullptr);
  ASSERT_THAT(events("user.cert.issued"), SizeIs(1));
  EXPECT_THAT(events("user.cert.issued")[0], HasSubstr("alice-dev"));
}

// A certificate without principals is good for every login in some verifiers (Vault CVE-2024-7594).
TEST_F(UseTest, NoLoginsNoCertificate) {
  add_role(role("templated", "", R"("{{internal.logins}}")"));
  add_user("bob", {"templated"});
  auto issued = issue(caller("bob"));
  ASSERT_FALSE(issued);
  EXPECT_EQ(issued.error().code, ErrorCode::kPermissionDenied);
  EXPECT_THAT(issued.error().message, HasSubstr("templated"));
  EXPECT_THAT(events("authz.denied"), SizeIs(1));
  EXPECT_THAT(events("user.cert.issued"), SizeIs(0));
}

TEST_F(UseTest, UserCertificateRefusesBadOrders) {
  add_role(role("plain", "", R"("ubuntu")"));
  add_user("alice", {"plain"});
  Caller alice = caller("alice");
  EXPECT_FALSE(issue_user_certificate(*services_, alice, {"ssh-dss AAAA", {}}));
  EXPECT_FALSE(issue_user_certificate(*services_, alice, {"", {}}));
  EXPECT_FALSE(issue(alice, 0ms));
  EXPECT_FALSE(issue(caller_of_local_peer(0, 1)));
}

TEST_F(UseTest, JoinGivesCertificatesOfTheHostCa) {
  std::string token = join_token({{"team", "db"}});
  auto joined = join("web-01", token + "." + services_->authority->host_ca_pin());
  ASSERT_TRUE(joined) << joined.error().message;
  auto host = ssh::Certificate::from_text(joined->certificates.ssh_host_certificate);
  ASSERT_TRUE(host);
  EXPECT_EQ(host->type(), ssh::CertificateType::kHost);
  EXPECT_THAT(host->valid_principals(), ElementsAre(joined->node_id, "web-01", "web-01.test.mezite"));
  auto who = caller_of_certificate(*services_, joined->certificates.x509_pem, "192.0.2.9");
  ASSERT_TRUE(who) << who.error().message;
  EXPECT_EQ(who->name, joined->node_id);
  auto node = services_->identity->nodes.get("web-01");
  ASSERT_TRUE(node);
  EXPECT_EQ(node->labels.find("team")->second, "db");
  EXPECT_EQ(node->host_cert_signer_fingerprint, services_->authority->host_ca_fingerprint());
  EXPECT_TRUE(node->host_cert_expires_at);
  EXPECT_THAT(events("node.joined"), SizeIs(1));
  EXPECT_THAT(events("token.used"), SizeIs(1));
}

TEST_F(UseTest, OneTokenOneNodeUnderARace) {
  std::string token = join_token();
  std::atomic<int> joined{0}, refused{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([&, i] { (join(fmt::format("web-{}", i), token) ? joined : refused)++; });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(joined, 1);
  EXPECT_EQ(refused, 7);
  EXPECT_EQ(services_->identity->nodes.list()->size(), 1U);
  EXPECT_THAT(events("token.rejected"), SizeIs(7));
  EXPECT_THAT(events("token.rejected")[0], Not(HasSubstr(token)));
}

TEST_F(UseTest, ANameInUseIsReplacedOnlyWhenItsNodeIsGone) {
  Caller first = agent("web-01");
  std::vector<std::string> removed;
  services_->on_node_removed([&](std::string_view id) { removed.emplace_back(id); });
  services_->set_connection_probe([&](std::string_view id) { return id == first.name; });
  auto refused = join("web-01", join_token());
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kAlreadyExists);
  EXPECT_THAT(removed, SizeIs(0));
  services_->set_connection_probe([](std::string_view) { return false; });
  auto second = join("web-01", join_token());
  ASSERT_TRUE(second) << second.error().message;
  EXPECT_NE(second->node_id, first.name);
  EXPECT_THAT(removed, ElementsAre(first.name));
  EXPECT_FALSE(services_->identity->nodes.get_by_id(first.name));
}

TEST_F(UseTest, RemovedNodesCertificateIsWorthNothing) {
  auto joined = join("web-01", join_token());
  ASSERT_TRUE(joined);
  ASSERT_TRUE(remove_node(*services_, caller_of_local_peer(0, 1), "web-01"));
  auto who = caller_of_certificate(*services_, joined->certificates.x509_pem, "");
  ASSERT_FALSE(who);
  EXPECT_EQ(who.error().code, ErrorCode::kUnauthenticated);
  EXPECT_THAT(events("node.removed"), SizeIs(1));
}

TEST_F(UseTest, RenewKeepsTheIdentity) {
  Caller node = agent("web-01");
  testing::NodeKeyPair keys = testing::NodeKeyPair::make();
  auto renewed = renew_node(*services_, node, keys.ssh_public_key, keys.tls.public_key().spki());
  ASSERT_TRUE(renewed) << renewed.error().message;
  auto who = caller_of_certificate(*services_, renewed->x509_pem, "");
  ASSERT_TRUE(who);
  EXPECT_EQ(who->name, node.name);
  EXPECT_THAT(events("node.renewed"), SizeIs(1));
}

// An agent that claims another's id.
TEST_F(UseTest, AgentSpeaksForItselfOnly) {
  Caller web = agent("web-01"), db = agent("db-01");
  std::string forged = event_json(audit::EventKind::kSessionStart, db.name);
  const std::string_view one[] = {forged};
  auto stored = emit_agent_events(*services_, web, one);
  ASSERT_TRUE(stored) << stored.error().message;
  EXPECT_EQ(stored->stored, 1U);
  ASSERT_THAT(events("session.start"), SizeIs(1));
  std::string kept = events("session.start")[0];
  EXPECT_THAT(kept, HasSubstr(web.name));
  EXPECT_THAT(kept, HasSubstr("web-01"));
  EXPECT_THAT(kept, Not(HasSubstr(db.name)));
  EXPECT_THAT(kept, Not(HasSubstr("forged")));
  // The same event again is acknowledged and not stored twice.
  EXPECT_EQ(emit_agent_events(*services_, web, one)->stored, 0U);
}

TEST_F(UseTest, AgentMayNotTellTheHubsEvents) {
  Caller web = agent("web-01");
  std::string good = event_json(audit::EventKind::kSessionStart, web.name);
  for (audit::EventKind kind :
       {audit::EventKind::kUserLogin, audit::EventKind::kRoleCreated, audit::EventKind::kHubStarted,
        audit::EventKind::kTokenUsed, audit::EventKind::kAuthzDenied}) {
    std::string bad = event_json(kind, web.name);
    const std::string_view both[] = {bad, good};
    auto emitted = emit_agent_events(*services_, web, both);
    ASSERT_TRUE(emitted) << emitted.error().message;
    ASSERT_THAT(emitted->refused, SizeIs(1));
    EXPECT_EQ(emitted->refused[0].index, 0U);
    EXPECT_THAT(emitted->refused[0].problem, HasSubstr("may not emit"));
  }
  EXPECT_THAT(events("session.start"), SizeIs(1)) << "what is good of a call is stored, once";
  EXPECT_THAT(events("authz.denied"), SizeIs(5));
  EXPECT_THAT(events("user.login"), SizeIs(0));
  std::vector<std::string_view> many(kMaxEventsPerCall + 1, good);
  EXPECT_EQ(emit_agent_events(*services_, web, many).error().code, ErrorCode::kInvalidArgument);
}

// An event that the hub can never take must not hold up those behind it for ever.
TEST_F(UseTest, APoisonedEventIsReportedAndHoldsUpNoOther) {
  Caller web = agent("web-01");
  std::string good = event_json(audit::EventKind::kSessionStart, web.name);
  std::string large = event_json(audit::EventKind::kSessionEnd, web.name);
  large.insert(large.find("\"user_name\":\"") + 13, std::string(audit::kMaxEventJsonBytes, 'x'));
  const std::string_view call[] = {"{", large, good};
  for (int i = 0; i < 2; ++i) {
    auto emitted = emit_agent_events(*services_, web, call);
    ASSERT_TRUE(emitted) << emitted.error().message;
    ASSERT_THAT(emitted->refused, SizeIs(2));
    EXPECT_EQ(emitted->refused[0].index, 0U);
    EXPECT_EQ(emitted->refused[1].index, 1U);
    EXPECT_EQ(emitted->stored, i == 0 ? 1U : 0U);
  }
  ASSERT_THAT(events("audit.event.refused"), SizeIs(2)) << "told once, however often it is sent";
  EXPECT_THAT(events("audit.event.refused")[1], HasSubstr(R"("event":"{")"));
  EXPECT_THAT(events("session.start"), SizeIs(1));
}

TEST_F(UseTest, ARecordingBelongsToTheNodeThatBeganIt) {
  Caller web = agent("web-01"), db = agent("db-01");
  const recording::Header header = header_of(web);
  std::string json = recording::header_to_json(header);
  Bytes data = to_bytes("not really a recording");
  recording::PutRequest first{.session_id = header.session_id, .offset = 0, .data = BytesView(data).first(3)};
  first.header_json = json;
  auto foreign = put_recording_chunk(*services_, db, first);
  ASSERT_FALSE(foreign);
  EXPECT_EQ(foreign.error().code, ErrorCode::kPermissionDenied);
  auto put = put_recording_chunk(*services_, web, first);
  ASSERT_TRUE(put) << put.error().message;
  EXPECT_EQ(put->size, 3U);
  recording::PutRequest more{.session_id = header.session_id, .offset = 3, .data = BytesView(data).subspan(3, 4)};
  foreign = put_recording_chunk(*services_, db, more);
  ASSERT_FALSE(foreign);
  EXPECT_EQ(foreign.error().code, ErrorCode::kPermissionDenied);
  EXPECT_THAT(events("authz.denied"), SizeIs(2));
  recording::PutRequest bad_id{.session_id = "../../etc/passwd", .offset = 0, .data = data};
  EXPECT_EQ(put_recording_chunk(*services_, web, bad_id).error().code, ErrorCode::kInvalidArgument);

  // Who may see it.
  add_role(role("plain", "", R"("root")"));
  add_user("alice", {"plain"});
  add_user("bob", {"plain"});
  add_user("carol", {"auditor"});
  EXPECT_THAT(*list_recordings(*services_, caller("alice"), {}), SizeIs(1));
  EXPECT_THAT(*list_recordings(*services_, caller("bob"), {}), SizeIs(0));
  EXPECT_FALSE(list_recordings(*services_, caller("bob"), {.user = "alice"}));
  EXPECT_THAT(*list_recordings(*services_, caller("carol"), {}), SizeIs(1));
  EXPECT_TRUE(read_recording(*services_, caller("alice"), header.session_id, 0, 100));
  EXPECT_TRUE(read_recording(*services_, caller("carol"), header.session_id, 0, 100));
  auto hidden = read_recording(*services_, caller("bob"), header.session_id, 0, 100);
  auto nothing = read_recording(*services_, caller("bob"), new_uuid(), 0, 100);
  ASSERT_FALSE(hidden);
  ASSERT_FALSE(nothing);
  EXPECT_EQ(hidden.error().code, nothing.error().code);
  EXPECT_FALSE(delete_recording(*services_, caller("alice"), header.session_id));
  ASSERT_TRUE(delete_recording(*services_, caller_of_local_peer(0, 1), header.session_id));
  EXPECT_THAT(events("session.recording.deleted"), SizeIs(1));
}

TEST_F(UseTest, ARecordingIsTheOneThatItsSessionBeganWith) {
  Caller web = agent("web-01"), db = agent("db-01");
  const auto told = [&](const Caller& who, const recording::Header& header) {
    audit::Event start = audit::make_event(audit::EventKind::kSessionStart);
    start.session_id = header.session_id;
    start.details = audit::Details().add("chain", chain_id(header)).text();
    const std::string json = audit::to_canonical_json(start);
    const std::string_view one[] = {json};
    ASSERT_TRUE(emit_agent_events(*services_, who, one));
  };
  const auto [good, good_data] = record_session(header_of(web));
  told(web, good);
  EXPECT_EQ(upload(web, good, good_data).problem, "");
  EXPECT_EQ(chain_key_of(*services_, good).size(), 32U);
  EXPECT_THAT(events("session.recording.altered"), SizeIs(0));

  // Made from scratch, with tags and all, when the session was over: whoever may seal to the hub can do that.
  const auto [begun, begun_data] = record_session(header_of(web));
  told(web, begun);
  const auto [replaced, replaced_data] = record_session(begun);
  told(web, replaced);  // later
  const auto stored = upload(web, replaced, replaced_data);
  EXPECT_TRUE(stored.complete);
  EXPECT_THAT(stored.problem, HasSubstr("replaced"));
  ASSERT_THAT(events("session.recording.altered"), SizeIs(1));
  EXPECT_THAT(events("session.recording.altered")[0], HasSubstr(R"("event_code":"T2025W")"));
  EXPECT_THAT(events("session.recording.altered")[0], HasSubstr("replaced"));
  EXPECT_THAT(events("session.recording.altered")[0], HasSubstr(stored.sha256));

  // What another node says of the session does not count.
  const auto [own, own_data] = record_session(header_of(web));
  recording::Header elsewhere = replaced;
  elsewhere.session_id = own.session_id;
  told(db, elsewhere);
  told(web, own);
  EXPECT_EQ(upload(web, own, own_data).problem, "");
}

TEST_F(UseTest, TheRecordingKeyStaysAndIsNotInTheDatabaseInClear) {
  const std::string recipient = to_text(services_->recording_key.recipient());
  const Bytes private_key = to_bytes(services_->recording_key.key().view());
  services_.reset();
  const Bytes database = read_file(folder_.path() / "data" / "mezhub.db", std::size_t{1} << 26).value();
  EXPECT_EQ(as_text(database).find(as_text(private_key)), std::string_view::npos);
  SetUp();
  EXPECT_EQ(to_text(services_->recording_key.recipient()), recipient);
}

TEST_F(UseTest, ExplainAndListsAgree) {
  agent("web-01");
  add_role(role("dev", "", R"("ubuntu")"));
  add_user("alice", {"dev"});
  auto yes = explain_access(*services_, "alice", "web-01", "ubuntu");
  ASSERT_TRUE(yes) << yes.error().message;
  EXPECT_TRUE(yes->allowed);
  auto no = explain_access(*services_, "alice", "web-01", "root");
  ASSERT_TRUE(no);
  EXPECT_FALSE(no->allowed);
  EXPECT_FALSE(explain_access(*services_, "alice", "web-99", "root"));
  auto visible = visible_nodes(*services_, caller("alice"));
  ASSERT_TRUE(visible);
  ASSERT_THAT(*visible, SizeIs(1));
  EXPECT_THAT((*visible)[0].logins, ElementsAre("ubuntu"));
}

TEST_F(UseTest, RevisionListenersHearOfChanges) {
  std::vector<std::int64_t> heard;
  services_->on_revision([&](std::int64_t revision) { heard.push_back(revision); });
  services_->announce_revision();
  add_role(role("dev", "", R"("ubuntu")"));
  services_->announce_revision();
  ASSERT_THAT(heard, SizeIs(2));
  EXPECT_GT(heard[1], heard[0]);
  auto basis = decision_basis(*services_);
  ASSERT_TRUE(basis);
  EXPECT_EQ(basis->revision, heard[1]);
  EXPECT_THAT(basis->roles_json, Contains(HasSubstr("ubuntu")));
  services_->forget_listeners();
  services_->announce_revision();
  EXPECT_THAT(heard, SizeIs(2));
}

TEST_F(UseTest, InviteLinkSetsAPasswordOnce) {
  auto user = services_->identity->users.create({"dora", {"access"}, {}});
  ASSERT_TRUE(user);
  auto invite = services_->identity->invites.create("dora", identity::InvitePurpose::kInvite);
  ASSERT_TRUE(invite);
  EXPECT_EQ(invite_url(*services_, invite->secret), "https://hub.test:3080/invite/" + invite->secret);
  EXPECT_EQ(redeem_invite(*services_, invite->secret, testing::kPassword, "192.0.2.7"), "dora");
  EXPECT_FALSE(redeem_invite(*services_, invite->secret, testing::kPassword, "192.0.2.7"));
  EXPECT_TRUE(login(*services_, {"dora", testing::kPassword, "192.0.2.7", "web"}));
}

TEST_F(UseTest, HubCertificateLeadsToThePinnedCa) {
  auto certificate = issue_hub_certificate(*services_);
  ASSERT_TRUE(certificate) << certificate.error().message;
  const auto& chain = certificate->identity.chain;
  ASSERT_THAT(chain, SizeIs(2));
  EXPECT_TRUE(chain[0].is_signed_by(chain[1]));
  EXPECT_EQ(chain[1].spki_sha256_hex(), services_->authority->host_ca_pin());
  for (std::string_view name : {"test.mezite", "localhost", "127.0.0.1", "::1", "hub.test"}) {
    EXPECT_TRUE(chain[0].matches_host(name)) << name;
  }
  EXPECT_GT(certificate->renew_at, system_clock().now());
  EXPECT_LT(certificate->renew_at, chain[0].not_after());
}

}  // namespace
}  // namespace mezite::auth
