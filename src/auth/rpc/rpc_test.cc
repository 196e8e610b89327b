// The gRPC server with real clients over TLS and the local socket.
#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <google/protobuf/descriptor.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <condition_variable>
#include <thread>

#include "auth/rpc/server.hh"
#include "auth/rpc/status.hh"
#include "auth/testing.hh"
#include "auth/use/node.hh"
#include "mezite/v1/admin.grpc.pb.h"
#include "mezite/v1/agent.grpc.pb.h"

namespace mezite::auth::rpc {
namespace {

using ::testing::HasSubstr;
using ::testing::SizeIs;

// Before any gRPC object, as mezhub does.
const bool kPrepared = [] {
  prepare_process();
  return true;
}();

class RpcTest : public testing::ServicesTest {
 protected:
  void SetUp() override {
    ASSERT_TRUE(kPrepared);
    testing::ServicesTest::SetUp();
    auto started = Server::start(*services_, shard_, shards_);
    ASSERT_TRUE(started) << started.error().message;
    server_ = std::move(*started);
    shards_.start();
    loop_ = std::thread([this] { shard_.run(); });
  }
  void TearDown() override {
    shard_.stop();
    if (loop_.joinable()) loop_.join();
    if (server_) server_->stop(std::chrono::seconds(5));
    shards_.stop();
    server_.reset();
  }

  std::string roots() { return services_->authority->host_ca_certificate().to_pem(); }

  std::shared_ptr<grpc::Channel> channel(const std::string& key_pem = "", const std::string& chain_pem = "") {
    grpc::ChannelArguments arguments;
    arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    auto credentials = grpc::SslCredentials({roots(), key_pem, chain_pem});
    return grpc::CreateCustomChannel(fmt::format("127.0.0.1:{}", server_->port()), credentials, arguments);
  }
  std::shared_ptr<grpc::Channel> local_channel() {
    return grpc::CreateChannel("unix:" + services_->config.admin_socket_path().string(),
                               grpc::InsecureChannelCredentials());
  }

  struct Agent {
    std::string id;
    testing::NodeKeyPair keys;
    std::string x509_pem;
  };
  Agent make_agent(const std::string& name) {
    testing::NodeKeyPair keys = testing::NodeKeyPair::make();
    Bytes spki = keys.tls.public_key().spki();
    std::string token = join_token();
    JoinOrder order{.token = token, .node_name = name, .hostname = name, .version = "1"};
    order.ssh_public_key = keys.ssh_public_key;
    order.tls_public_key_spki = spki;
    auto joined = join_node(*services_, order, "192.0.2.9");
    EXPECT_TRUE(joined) << joined.error().message;
    return {joined->node_id, std::move(keys), joined->certificates.x509_pem};
  }
  std::shared_ptr<grpc::Channel> agent_channel(const Agent& agent) {
    return channel(std::string(agent.keys.tls.to_pem()->text()), agent.x509_pem);
  }

  static void prepare(grpc::ClientContext& context, const std::string& token = "") {
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(30));
    if (!token.empty()) context.AddMetadata("authorization", "Bearer " + token);
  }

  // Calls a method by its name with an empty request.
  grpc::Status call(const std::shared_ptr<grpc::Channel>& to, const std::string& method, const std::string& token) {
    grpc::GenericStub stub(to);
    grpc::ClientContext context;
    prepare(context, token);
    grpc::ByteBuffer request(nullptr, 0), response;
    grpc::Slice empty;
    request = grpc::ByteBuffer(&empty, 1);
    std::mutex mutex;
    std::condition_variable done;
    bool finished = false;
    grpc::Status status;
    stub.UnaryCall(&context, method, {}, &request, &response, [&](grpc::Status result) {
      std::lock_guard lock(mutex);
      status = std::move(result);
      finished = true;
      done.notify_one();
    });
    std::unique_lock lock(mutex);
    done.wait(lock, [&] { return finished; });
    return status;
  }

  static std::vector<std::string> methods_of(const std::string& service) {
    v1::Empty keep_linked;
    v1::JoinRequest keep_linked_too;
    const auto* descriptor =
        google::protobuf::DescriptorPool::generated_pool()->FindServiceByName("mezite.v1." + service);
    std::vector<std::string> methods;
    for (int i = 0; i < descriptor->method_count(); ++i) {
      methods.push_back(fmt::format("/mezite.v1.{}/{}", service, descriptor->method(i)->name()));
    }
    return methods;
  }

  std::pair<int, std::string> shell(const std::string& command) {
    FILE* pipe = ::popen((command + " 2>&1").c_str(), "r");
    std::string output;
    char buffer[4096];
    while (std::size_t n = ::fread(buffer, 1, sizeof buffer, pipe)) output.append(buffer, n);
    return {WEXITSTATUS(::pclose(pipe)), output};
  }

  net::Shard shard_;
  net::ShardPool shards_{1};
  std::unique_ptr<Server> server_;
  std::thread loop_;
};

// What somebody may say who is nobody yet.
bool joins(const std::string& method) {
  return method.ends_with("/Join") || method.ends_with("/GetJoinChallenge") || method.ends_with("/JoinWithIam");
}

// Default deny: every method there is, whoever added it.
TEST_F(RpcTest, NobodyMayAnythingWithoutCredentials) {
  auto to = channel();
  for (const std::string& method : methods_of("AdminService")) {
    if (method.ends_with("/Login")) continue;
    EXPECT_EQ(call(to, method, "").error_code(), grpc::StatusCode::UNAUTHENTICATED) << method;
    EXPECT_EQ(call(to, method, "made-up").error_code(), grpc::StatusCode::UNAUTHENTICATED) << method;
  }
  for (const std::string& method : methods_of("AgentService")) {
    if (joins(method)) continue;
    EXPECT_EQ(call(to, method, "").error_code(), grpc::StatusCode::UNAUTHENTICATED) << method;
  }
}

TEST_F(RpcTest, AUserWithoutRulesMayNothing) {
  add_role(R"({"kind":"role","version":"v1","metadata":{"name":"plain"},"spec":{"allow":{"logins":["root"]}}})");
  add_user("alice", {"plain"});
  std::string token = session_of("alice");
  auto to = channel();
  std::size_t denied = 0;
  for (const std::string& method : methods_of("AdminService")) {
    // Login is open to all; a user's own recordings need no rule.
    if (method.ends_with("/Login") || method.ends_with("/ListRecordings") || method.ends_with("/ReadRecording") ||
        method.ends_with("/GetRecording") || method.ends_with("/SearchRecordings")) {
      continue;
    }
    EXPECT_EQ(call(to, method, token).error_code(), grpc::StatusCode::PERMISSION_DENIED) << method;
    ++denied;
  }
  EXPECT_THAT(events("authz.denied"), SizeIs(denied));
  for (const std::string& method : methods_of("AgentService")) {
    if (joins(method)) continue;
    EXPECT_EQ(call(to, method, token).error_code(), grpc::StatusCode::UNAUTHENTICATED) << method;
  }
  // An agent's certificate opens nothing of the admin API.
  auto agent = agent_channel(make_agent("web-01"));
  for (const std::string& method : methods_of("AdminService")) {
    if (method.ends_with("/Login")) continue;
    EXPECT_EQ(call(agent, method, "").error_code(), grpc::StatusCode::UNAUTHENTICATED) << method;
  }
}

TEST_F(RpcTest, AdminMayAll) {
  add_user("root", {"admin"});
  std::string token = session_of("root");
  auto to = channel();
  for (const std::string& method : methods_of("AdminService")) {
    if (method.ends_with("/Login")) continue;
    grpc::StatusCode code = call(to, method, token).error_code();
    EXPECT_NE(code, grpc::StatusCode::PERMISSION_DENIED) << method;
    EXPECT_NE(code, grpc::StatusCode::UNAUTHENTICATED) << method;
    EXPECT_NE(code, grpc::StatusCode::INTERNAL) << method;
  }
}

// "A gRPC client without a certificate gets UNAVAILABLE" must not happen to mezctl.
TEST_F(RpcTest, LoginWithoutAClientCertificate) {
  add_user("alice", {"admin"});
  auto stub = v1::AdminService::NewStub(channel());
  v1::LoginRequest request;
  v1::LoginResponse response;
  request.set_username("alice");
  request.set_password(std::string(testing::kPassword));
  grpc::ClientContext context;
  prepare(context);
  grpc::Status status = stub->Login(&context, request, &response);
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_THAT(events("user.login")[0], HasSubstr("127.0.0.1"));

  v1::ListUsersResponse users;
  grpc::ClientContext second;
  prepare(second, response.session_token());
  status = stub->ListUsers(&second, {}, &users);
  ASSERT_TRUE(status.ok()) << status.error_message();
  ASSERT_EQ(users.users_size(), 1);
  EXPECT_EQ(users.users(0).name(), "alice");

  request.set_password("not it at all");
  grpc::ClientContext third;
  prepare(third);
  status = stub->Login(&third, request, &response);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::UNAUTHENTICATED);
  EXPECT_EQ(status.error_message(), identity::kLoginRefused);
}

TEST_F(RpcTest, TwoAuthorizationsAreNone) {
  add_user("alice", {"admin"});
  grpc::ClientContext context;
  prepare(context, session_of("alice"));
  context.AddMetadata("authorization", "Bearer " + session_of("alice"));
  v1::ListUsersResponse users;
  auto stub = v1::AdminService::NewStub(channel());
  EXPECT_EQ(stub->ListUsers(&context, {}, &users).error_code(), grpc::StatusCode::UNAUTHENTICATED);
}

TEST_F(RpcTest, JoinThenSpeakByCertificate) {
  auto stub = v1::AgentService::NewStub(channel());
  testing::NodeKeyPair keys = testing::NodeKeyPair::make();
  v1::JoinRequest request;
  v1::JoinResponse response;
  request.set_token(join_token());
  request.set_node_name("web-01");
  request.set_hostname("web-01.example");
  (*request.mutable_labels())["env"] = "dev";
  request.set_ssh_public_key(keys.ssh_public_key);
  Bytes spki = keys.tls.public_key().spki();
  request.set_tls_public_key_der(spki.data(), spki.size());
  {
    grpc::ClientContext context;
    prepare(context);
    grpc::Status status = stub->Join(&context, request, &response);
    ASSERT_TRUE(status.ok()) << status.error_message();
  }
  EXPECT_EQ(response.cluster_name(), "test.mezite");
  EXPECT_EQ(response.certificates().trust().user_ca_keys_size(), 1);
  EXPECT_EQ(response.certificates().trust().host_ca_x509_pem_size(), 1);
  {
    grpc::ClientContext context;
    prepare(context);
    v1::JoinResponse again;
    EXPECT_FALSE(stub->Join(&context, request, &again).ok()) << "a token works once";
  }
  auto agent =
      v1::AgentService::NewStub(channel(std::string(keys.tls.to_pem()->text()), response.certificates().x509_pem()));
  v1::Snapshot snapshot;
  {
    grpc::ClientContext context;
    prepare(context);
    grpc::Status status = agent->GetSnapshot(&context, {}, &snapshot);
    ASSERT_TRUE(status.ok()) << status.error_message();
  }
  EXPECT_GT(snapshot.revision(), 0);
  EXPECT_EQ(snapshot.recording_mode(), "node");
  EXPECT_EQ(snapshot.recording_key(), to_text(services_->recording_key.recipient()));
  EXPECT_EQ(snapshot.cluster_name(), "test.mezite");
  EXPECT_GE(snapshot.roles_json_size(), 5);
  EXPECT_EQ(snapshot.trust().user_ca_keys(0),
            services_->authority->export_public(pki::AuthorityType::kUser, pki::ExportFormat::kOpenSsh)
                .value_or("")
                .substr(0, snapshot.trust().user_ca_keys(0).size()));
  // The connection outlives the node: the next call on it is refused.
  ASSERT_TRUE(services_->identity->nodes.remove("web-01"));
  grpc::ClientContext context;
  prepare(context);
  EXPECT_EQ(agent->GetSnapshot(&context, {}, &snapshot).error_code(), grpc::StatusCode::UNAUTHENTICATED);
}

TEST_F(RpcTest, AForeignClientCertificateGetsNowhere) {
  auto key = crypto::SigningKey::generate(crypto::KeyAlgorithm::kEcdsaP256);
  auto ca_key = crypto::SigningKey::generate(crypto::KeyAlgorithm::kEcdsaP256);
  SystemTime now = system_clock().now();
  auto ca = crypto::make_x509_ca(*ca_key,
                                 {"test.mezite host CA", "", now - std::chrono::hours(1), now + std::chrono::hours(1)});
  ASSERT_TRUE(ca);
  crypto::X509LeafSpec spec{.common_name = "web-01"};
  spec.uris = {"spiffe://test.mezite/agent/" + make_agent("web-01").id};
  spec.not_before = now - std::chrono::minutes(1);
  spec.not_after = now + std::chrono::hours(1);
  spec.usage = crypto::X509Usage::kClient;
  auto leaf = crypto::issue_x509_leaf(*ca, *ca_key, key->public_key().spki(), spec);
  ASSERT_TRUE(leaf) << leaf.error().message;
  auto agent = v1::AgentService::NewStub(channel(std::string(key->to_pem()->text()), leaf->to_pem()));
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(5));
  v1::Snapshot snapshot;
  EXPECT_FALSE(agent->GetSnapshot(&context, {}, &snapshot).ok());
}

// A certificate that the Host CA signed for something else is no agent's.
TEST_F(RpcTest, TheHubsOwnCertificateIsNoAgents) {
  auto key = crypto::SigningKey::generate(crypto::KeyAlgorithm::kEcdsaP256);
  pki::ServerX509Request request{.public_key_spki = key->public_key().spki(), .dns_names = {"localhost"}};
  auto leaf = services_->authority->issue_server_x509(request);
  ASSERT_TRUE(leaf) << leaf.error().message;
  auto who = caller_of_certificate(*services_, leaf->to_pem(), "");
  ASSERT_FALSE(who);
  EXPECT_EQ(who.error().code, ErrorCode::kUnauthenticated);
}

TEST_F(RpcTest, Tls13Only) {
  std::string address = fmt::format("127.0.0.1:{}", server_->port());
  auto [old_status, old_output] = shell("openssl s_client -connect " + address + " -tls1_2 -alpn h2 </dev/null");
  EXPECT_THAT(old_output, ::testing::AnyOf(HasSubstr("alert"), HasSubstr("no peer certificate")));
  EXPECT_THAT(old_output, ::testing::Not(HasSubstr("BEGIN CERTIFICATE")));
  std::filesystem::path ca = folder_.path() / "ca.pem";
  ASSERT_TRUE(write_file(ca, as_bytes(roots())));
  auto [status, output] =
      shell("openssl s_client -connect " + address + " -tls1_3 -alpn h2 -verify_return_error -CAfile " + ca.string() +
            " -verify_hostname test.mezite -showcerts </dev/null");
  EXPECT_EQ(status, 0) << output;
  EXPECT_THAT(output, HasSubstr("TLSv1.3"));
  EXPECT_THAT(output, HasSubstr("Verify return code: 0"));
  // The CA itself is in the chain: that is where a pin finds its key.
  std::size_t first = output.find("BEGIN CERTIFICATE");
  ASSERT_NE(first, std::string::npos);
  EXPECT_NE(output.find("BEGIN CERTIFICATE", first + 1), std::string::npos);
}

TEST_F(RpcTest, TheLocalSocketIsForAdministratorsAndIsAudited) {
  struct stat info{};
  ASSERT_EQ(::stat(services_->config.admin_socket_path().c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600U);
  auto stub = v1::AdminService::NewStub(local_channel());
  v1::CreateUserRequest request;
  request.set_name("alice");
  request.add_roles("admin");
  v1::CreateUserResponse response;
  grpc::ClientContext context;
  prepare(context);
  grpc::Status status = stub->CreateUser(&context, request, &response);
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_THAT(response.invite_url(), HasSubstr("https://hub.test:3080/invite/"));
  ASSERT_THAT(events("admin.call"), SizeIs(1));
  std::string event = events("admin.call")[0];
  EXPECT_THAT(event, HasSubstr("CreateUser"));
  EXPECT_THAT(event, HasSubstr(fmt::format("\"pid\":{}", ::getpid())));
  EXPECT_THAT(event, HasSubstr(fmt::format("\"uid\":{}", ::getuid())));
  EXPECT_THAT(events("user.created")[0], HasSubstr("local:"));
  // Agents have no business here.
  for (const std::string& method : methods_of("AgentService")) {
    EXPECT_FALSE(call(local_channel(), method, "").ok()) << method;
  }
}

TEST_F(RpcTest, ADeletedUsersCertificatesAreLockedOut) {
  add_user("alice", {"access"});
  auto stub = v1::AdminService::NewStub(local_channel());
  auto revision = [this] { return services_->identity->revision().value_or(-1); };
  std::int64_t before = revision();
  v1::NameRequest name;
  name.set_name("alice");
  v1::Empty nothing;
  grpc::ClientContext deleting;
  prepare(deleting);
  grpc::Status status = stub->DeleteUser(&deleting, name, &nothing);
  ASSERT_TRUE(status.ok()) << status.error_message();
  auto locks = services_->identity->locks.active();
  ASSERT_TRUE(locks);
  ASSERT_THAT(*locks, SizeIs(1));
  EXPECT_EQ((*locks)[0].name, "alice");
  EXPECT_TRUE((*locks)[0].expires_at);
  EXPECT_GT(revision(), before);
  v1::CreateUserRequest again;
  again.set_name("alice");
  again.add_roles("access");
  v1::CreateUserResponse response;
  grpc::ClientContext creating;
  prepare(creating);
  status = stub->CreateUser(&creating, again, &response);
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_THAT(*services_->identity->locks.active(), SizeIs(0));
  EXPECT_FALSE(response.user().locked());
}

TEST(AdminSocketPeer, OnlyRootAndTheHubsOwnUser) {
  EXPECT_TRUE(is_admin_uid(0, 998));
  EXPECT_TRUE(is_admin_uid(998, 998));
  EXPECT_FALSE(is_admin_uid(1000, 998));
  EXPECT_FALSE(is_admin_uid(1, 0));
}

TEST_F(RpcTest, OversizedRequestsAreRefused) {
  auto stub = v1::AdminService::NewStub(channel());
  v1::LoginRequest request;
  request.set_username(std::string(18 << 20, 'a'));
  v1::LoginResponse response;
  grpc::ClientContext context;
  prepare(context);
  EXPECT_EQ(stub->Login(&context, request, &response).error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
}

TEST_F(RpcTest, StrangersAreRateLimited) {
  auto stub = v1::AgentService::NewStub(channel());
  int limited = 0;
  for (int i = 0; i < 300; ++i) {
    grpc::ClientContext context;
    prepare(context);
    v1::JoinResponse response;
    if (stub->Join(&context, {}, &response).error_code() == grpc::StatusCode::RESOURCE_EXHAUSTED) ++limited;
  }
  EXPECT_GT(limited, 50);
}

TEST_F(RpcTest, ManyClientsAtOnce) {
  add_user("alice", {"admin"});
  std::string token = session_of("alice");
  std::atomic<int> good{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([&] {
      auto stub = v1::AdminService::NewStub(channel());
      for (int i = 0; i < 25; ++i) {
        grpc::ClientContext context;
        prepare(context, token);
        v1::ListRolesResponse roles;
        if (stub->ListRoles(&context, {}, &roles).ok()) ++good;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(good, 200);
}

TEST_F(RpcTest, ASecondServerOnThePortIsRefused) {
  Config config = make_config();
  auto none = [](net::Shard&, UniqueFd, net::Address) {};
  auto listener = net::Listener::open(shard_, shards_, {"127.0.0.1", server_->port()}, none);
  ASSERT_FALSE(listener);
  EXPECT_THAT(listener.error().message, HasSubstr(std::to_string(server_->port())));
}

TEST(PeerIp, OfAllForms) {
  EXPECT_EQ(peer_ip("ipv4:192.0.2.1:50122"), "192.0.2.1");
  EXPECT_EQ(peer_ip("ipv6:%5B2001:db8::1%5D:50122"), "2001:db8::1");
  EXPECT_EQ(peer_ip("ipv6:[2001:db8::1]:50122"), "2001:db8::1");
  EXPECT_EQ(peer_ip("ipv6:%5B::ffff:192.0.2.1%5D:50122"), "192.0.2.1");
  EXPECT_EQ(peer_ip("unix:/tmp/x"), "");
  EXPECT_EQ(peer_ip("fd:12"), "");
  EXPECT_EQ(peer_ip("ipv4:"), "");
}

}  // namespace
}  // namespace mezite::auth::rpc
