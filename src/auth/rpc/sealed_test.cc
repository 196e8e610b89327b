#include "auth/rpc/sealed.hh"

#include <gmock/gmock.h>

#include "auth/rpc/sealed_statement.hh"
#include "auth/testing.hh"
#include "auth/use/node.hh"
#include "crypto/hash.hh"
#include "crypto/random.hh"
#include "net/sealed_labels.hh"

namespace mezite::auth::rpc {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;

class SealedTest : public testing::ServicesTest {
 protected:
  const Clock& clock() override { return clock_; }
  void SetUp() override {
    testing::ServicesTest::SetUp();
    calls_ = std::make_unique<SealedCalls>(*services_, std::make_shared<HubCertificates>(*services_));
    clock_.advance(10min);
    node_ = join("web-01");
  }

  struct Node {
    std::string id;
    testing::NodeKeyPair keys = testing::NodeKeyPair::make();
    std::string der;
  };
  Node join(const std::string& name) {
    Node node;
    const Bytes spki = node.keys.tls.public_key().spki();
    const std::string token = join_token();
    JoinOrder order{.token = token, .node_name = name, .hostname = name};
    order.ssh_public_key = node.keys.ssh_public_key;
    order.tls_public_key_spki = spki;
    auto joined = join_node(*services_, order, "192.0.2.7");
    EXPECT_TRUE(joined) << joined.error().message;
    node.id = joined->node_id;
    node.der = to_text(crypto::X509Certificate::from_pem(joined->certificates.x509_pem)->to_der());
    return node;
  }

  // What the agent would send; `change` is made before it signs.
  v1::SealedCall call(const Node& node, const std::function<void(v1::CallStatement&)>& change = {},
                      const crypto::SigningKey* key = nullptr) {
    v1::SealedCall out;
    out.set_request("a request");
    out.set_certificate(node.der);
    v1::CallStatement statement;
    statement.set_method("GetSnapshot");
    statement.set_audience("test.mezite");
    statement.set_time_ms(to_unix_millis(clock_.now()));
    statement.set_nonce(to_text(crypto::random_bytes(kNonceBytes)));
    statement.set_request_sha256(to_text(crypto::sha256(as_bytes(out.request()))));
    statement.set_certificate_sha256(to_text(crypto::sha256(as_bytes(out.certificate()))));
    if (change) change(statement);
    out.set_statement(statement.SerializeAsString());
    const std::string to_sign = net::kSealedCallLabel + out.statement();
    const crypto::SigningKey& signer = key ? *key : node.keys.tls;
    out.set_proof(to_text(signer.sign(crypto::SignatureHash::kSha256, as_bytes(to_sign)).value()));
    return out;
  }
  std::string refusal(const v1::SealedCall& one) {
    auto opened = calls_->open(one, "192.0.2.7");
    return opened ? "taken" : opened.error().message;
  }

  ManualClock clock_;
  std::unique_ptr<SealedCalls> calls_;
  Node node_;
};

TEST_F(SealedTest, ACallIsItsNodes) {
  auto opened = calls_->open(call(node_), "192.0.2.7");
  ASSERT_TRUE(opened) << opened.error().message;
  EXPECT_EQ(opened->method, "GetSnapshot");
  EXPECT_EQ(opened->caller.kind, Caller::Kind::kAgent);
  EXPECT_EQ(opened->caller.name, node_.id);
  EXPECT_EQ(SealedCalls::claimed_node(call(node_)), node_.id);
}

TEST_F(SealedTest, WithoutACertificateItIsNobodys) {
  Node nobody;
  auto opened = calls_->open(call(nobody), "192.0.2.7");
  ASSERT_TRUE(opened) << opened.error().message;
  EXPECT_EQ(opened->caller.kind, Caller::Kind::kAnonymous);
  EXPECT_EQ(SealedCalls::claimed_node(call(nobody)), "");
}

TEST_F(SealedTest, WhatIsNotExactlyWhatWasSigned) {
  EXPECT_EQ(refusal(call(node_)), "taken");
  auto changed = call(node_);
  changed.set_request("another");
  EXPECT_THAT(refusal(changed), HasSubstr("not what was signed"));
  changed = call(node_);
  changed.set_proof(std::string(64, '\0'));
  EXPECT_THAT(refusal(changed), HasSubstr("not signed by the key"));
  changed.set_proof("");
  EXPECT_THAT(refusal(changed), HasSubstr("not signed by the key"));
  changed = call(node_, [](auto& statement) { statement.set_audience("other.mezite"); });
  EXPECT_THAT(refusal(changed), HasSubstr("another cluster"));
  changed = call(node_, [](auto& statement) { statement.set_nonce("short"); });
  EXPECT_THAT(refusal(changed), HasSubstr("nonce"));
  changed = call(node_, [](auto& statement) { statement.set_method(std::string(2000, 'm')); });
  EXPECT_THAT(refusal(changed), HasSubstr("can't be read"));
  changed = call(node_);
  changed.set_statement("\xff\xff\xff");
  EXPECT_THAT(refusal(changed), HasSubstr("can't be read"));
}

TEST_F(SealedTest, AnotherNodesKeyOrCertificate) {
  const Node other = join("web-02");
  EXPECT_THAT(refusal(call(node_, {}, &other.keys.tls)), HasSubstr("not signed by the key"));
  auto swapped = call(node_);
  swapped.set_certificate(other.der);
  EXPECT_THAT(refusal(swapped), HasSubstr("not the one that was signed for"));
  // Its own statement over the other's certificate: still not its key.
  Node thief = node_;
  thief.der = other.der;
  EXPECT_THAT(refusal(call(thief)), HasSubstr("not signed by the key"));
  auto garbage = call(node_);
  garbage.set_certificate("garbage");
  EXPECT_EQ(SealedCalls::claimed_node(garbage), "");
}

TEST_F(SealedTest, OnceAndNow) {
  const auto one = call(node_);
  EXPECT_EQ(refusal(one), "taken");
  EXPECT_THAT(refusal(one), HasSubstr("made already"));
  const auto late = call(node_);
  clock_.advance(61s);
  EXPECT_THAT(refusal(late), HasSubstr("behind the hub's"));
}

TEST_F(SealedTest, ANodeThatWasRemoved) {
  ASSERT_TRUE(services_->identity->nodes.remove(node_.id));
  EXPECT_THAT(refusal(call(node_)), HasSubstr("removed from the cluster"));
}

TEST_F(SealedTest, TheAnswerIsTheHubsForThisCall) {
  const auto one = call(node_);
  v1::SealedAnswer answer;
  ASSERT_TRUE(calls_->seal(one, "a response", answer));
  std::vector<crypto::X509Certificate> chain;
  for (const std::string& der : answer.chain()) {
    chain.push_back(crypto::X509Certificate::from_der(as_bytes(der)).value());
  }
  EXPECT_TRUE(crypto::verify_x509_chain(chain, services_->authority->trust_bundle().host_x509, clock_.now(),
                                        crypto::X509Usage::kServer));
  const std::string is_signed = net::kSealedAnswerLabel + answer.statement();
  EXPECT_TRUE(chain.at(0).public_key()->verify(crypto::SignatureHash::kSha256, as_bytes(is_signed),
                                               as_bytes(answer.signature())));
  v1::AnswerStatement said;
  ASSERT_TRUE(said.ParseFromString(answer.statement()));
  EXPECT_EQ(said.call_sha256(), to_text(crypto::sha256(as_bytes(one.statement()))));
  EXPECT_EQ(said.response_sha256(), to_text(crypto::sha256(as_bytes(std::string_view("a response")))));
}

}  // namespace
}  // namespace mezite::auth::rpc
