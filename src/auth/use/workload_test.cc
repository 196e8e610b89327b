#include "auth/use/workload.hh"

#include <gmock/gmock.h>

#include "auth/testing.hh"
#include "auth/use/node.hh"
#include "spiffe/jwt_svid.hh"

namespace mezite::auth {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;
using ::testing::UnorderedElementsAre;

class WorkloadTest : public testing::ServicesTest {
 protected:
  Caller agent(const std::string& name, access::Labels labels = {}) {
    testing::NodeKeyPair keys = testing::NodeKeyPair::make();
    Bytes spki = keys.tls.public_key().spki();
    std::string token = join_token();
    JoinOrder order{.token = token, .node_name = name, .hostname = name, .version = "1", .labels = std::move(labels)};
    order.ssh_public_key = keys.ssh_public_key;
    order.tls_public_key_spki = spki;
    auto joined = join_node(*services_, order, "192.0.2.9");
    EXPECT_TRUE(joined) << joined.error().message;
    Caller caller;
    caller.kind = Caller::Kind::kAgent;
    caller.name = joined->node_id;
    caller.node_name = name;
    return caller;
  }
  Result<identity::Workload> add(const std::string& id, std::vector<std::string> selectors) {
    identity::NewWorkload wanted;
    wanted.spiffe_id = id;
    wanted.selectors = std::move(selectors);
    return register_workload(*services_, Caller{.kind = Caller::Kind::kLocal, .name = "local:root"}, wanted);
  }
  static Bytes new_spki() {
    return crypto::SigningKey::generate(crypto::KeyAlgorithm::kEcdsaP256)->public_key().spki();
  }
};

TEST_F(WorkloadTest, RegistersWhatCanWork) {
  auto made = add("/payments/api", {"unix:uid:1000", "node:name:web-01"});
  ASSERT_TRUE(made) << made.error().message;
  EXPECT_EQ(made->spiffe_id, "spiffe://test.mezite/payments/api");
  EXPECT_EQ(made->created_by, "local:root");
  // The same in another order is the same.
  EXPECT_EQ(add("spiffe://test.mezite/payments/api", {"node:name:web-01", "unix:uid:1000"}).error().code,
            ErrorCode::kAlreadyExists);
  auto second = add("/payments/api", {"unix:uid:1001"});
  ASSERT_TRUE(second);
  EXPECT_THAT(services_->identity->workloads.get("/payments/api").error().message, HasSubstr(second->id));
  EXPECT_EQ(services_->identity->workloads.get(made->id)->selectors, made->selectors);
  EXPECT_THAT(add("spiffe://other/payments", {"unix:uid:1"}).error().message, HasSubstr("test.mezite"));
  EXPECT_THAT(add("/agent/x", {"unix:uid:1"}).error().message, HasSubstr("/agent"));
  EXPECT_EQ(add("/x", {"node:name:web-01"}).error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(add("/x/", {"unix:uid:1"}).error().code, ErrorCode::kInvalidArgument);
  ASSERT_TRUE(remove_workload(*services_, Caller{.name = "local:root"}, made->id));
  EXPECT_EQ(services_->identity->workloads.get("/payments/api")->id, second->id);
  EXPECT_EQ(remove_workload(*services_, Caller{.name = "local:root"}, made->id).error().code, ErrorCode::kNotFound);
  EXPECT_THAT(events("workload_identity.created"), SizeIs(2));
  EXPECT_THAT(events("workload_identity.deleted"), SizeIs(1));
}

TEST_F(WorkloadTest, BoundsAndNamesAreChecked) {
  auto problem = [&](auto change) {
    identity::NewWorkload wanted;
    wanted.spiffe_id = "/x";
    wanted.selectors = {"unix:uid:1"};
    change(wanted);
    auto made = services_->identity->workloads.create(wanted);
    return made ? std::string("made") : made.error().message;
  };
  EXPECT_THAT(problem([](auto& w) { w.x509_ttl = std::chrono::seconds(9); }), HasSubstr("10s to 24h"));
  EXPECT_THAT(problem([](auto& w) { w.x509_ttl = std::chrono::hours(25); }), HasSubstr("10s to 24h"));
  EXPECT_THAT(problem([](auto& w) { w.jwt_ttl = std::chrono::minutes(61); }), HasSubstr("10s to 1h"));
  EXPECT_THAT(problem([](auto& w) { w.dns_names = {"Payments.example"}; }), HasSubstr("DNS name"));
  EXPECT_THAT(problem([](auto& w) { w.dns_names = {"*.example"}; }), HasSubstr("DNS name"));
  EXPECT_THAT(problem([](auto& w) { w.jwt_audiences = {""}; }), HasSubstr("audience"));
  EXPECT_THAT(problem([](auto& w) { w.hint = "a\nb"; }), HasSubstr("hint"));
  EXPECT_EQ(problem([](auto&) {}), "made");
}

TEST_F(WorkloadTest, ANodeGetsItsOwnOnly) {
  Caller web = agent("web-01", {{"env", "prod"}});
  Caller db = agent("db-01", {{"env", "dev"}});
  auto on_web = add("/web", {"unix:uid:1000", "node:name:web-01"});
  auto in_prod = add("/prod", {"unix:uid:1000", "node:label:env=prod"});
  auto anywhere = add("/any", {"unix:uid:1000"});
  auto ids = [&](const Caller& node) {
    std::vector<std::string> out;
    auto found = workloads_of_node(*services_, node.name);
    for (const auto& one : *found) out.push_back(one.spiffe_id);
    return out;
  };
  EXPECT_THAT(ids(web), UnorderedElementsAre("spiffe://test.mezite/any", "spiffe://test.mezite/prod",
                                             "spiffe://test.mezite/web"));
  EXPECT_THAT(ids(db), ElementsAre("spiffe://test.mezite/any"));
  for (const auto& workload : {on_web, in_prod}) {
    EXPECT_TRUE(issue_agent_x509_svid(*services_, web, workload->id, new_spki()));
    auto refused = issue_agent_x509_svid(*services_, db, workload->id, new_spki());
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, ErrorCode::kPermissionDenied);
    EXPECT_EQ(issue_agent_jwt_svid(*services_, db, workload->id, {"orders"}).error().code,
              ErrorCode::kPermissionDenied);
  }
  // By its id alone: what has no id is not told from what is another's.
  auto unknown = issue_agent_x509_svid(*services_, db, "spiffe://test.mezite/any", new_spki());
  EXPECT_EQ(unknown.error().code, ErrorCode::kPermissionDenied);
  EXPECT_THAT(events("workload.svid.refused"), SizeIs(5));
  EXPECT_THAT(events("workload.svid.issued"), SizeIs(2));
}

TEST_F(WorkloadTest, SvidsAreWhatTheStandardSays) {
  Caller web = agent("web-01");
  identity::NewWorkload wanted;
  wanted.spiffe_id = "/payments";
  wanted.selectors = {"unix:uid:1000"};
  wanted.dns_names = {"payments.example"};
  wanted.jwt_audiences = {"orders", "stock"};
  auto made = register_workload(*services_, web, wanted);
  ASSERT_TRUE(made);
  Bytes spki = new_spki();
  auto x509 = issue_agent_x509_svid(*services_, web, made->id, spki);
  ASSERT_TRUE(x509) << x509.error().message;
  auto certificate = crypto::X509Certificate::from_pem(x509->certificate_pem);
  EXPECT_THAT(certificate->uris(), ElementsAre("spiffe://test.mezite/payments"));
  EXPECT_THAT(certificate->dns_names(), ElementsAre("payments.example"));
  EXPECT_EQ(certificate->public_key()->spki(), spki);
  EXPECT_FALSE(certificate->is_ca());
  auto roots = crypto::X509Certificate::all_from_pem(x509->bundle_pem);
  for (auto usage : {crypto::X509Usage::kServer, crypto::X509Usage::kClient}) {
    EXPECT_TRUE(crypto::verify_x509_chain(std::span(&*certificate, 1), *roots, services_->clock.now(), usage));
  }
  // Of another CA than agents' certificates: it opens nothing on 3025.
  EXPECT_FALSE(services_->authority->verify_agent_x509(*certificate));

  auto jwt = issue_agent_jwt_svid(*services_, web, made->id, {"orders"});
  ASSERT_TRUE(jwt) << jwt.error().message;
  auto bundle = services_->authority->spiffe_bundle();
  auto good = spiffe::verify_jwt_svid(jwt->token, "test.mezite", bundle.jwt, "orders", services_->clock.now());
  ASSERT_TRUE(good) << good.error().message;
  EXPECT_EQ(good->subject.text(), "spiffe://test.mezite/payments");
  EXPECT_EQ(issue_agent_jwt_svid(*services_, web, made->id, {"orders", "bank"}).error().code,
            ErrorCode::kPermissionDenied);
  EXPECT_EQ(issue_agent_jwt_svid(*services_, web, made->id, {}).error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(issue_agent_x509_svid(*services_, web, made->id, Bytes{1, 2, 3}).error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(issue_agent_x509_svid(*services_, web, made->id, Bytes(1 << 20)).error().code, ErrorCode::kInvalidArgument);
}

}  // namespace
}  // namespace mezite::auth
