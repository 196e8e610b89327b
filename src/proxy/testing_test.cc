#include <fcntl.h>

#include <fstream>
#include <future>

#include "crypto/argon2.hh"
#include "net/connect.hh"
#include "proxy/testing.hh"
#include "ssh/keys/certificate_check.hh"

namespace mezite::proxy::testing {
namespace {

void write_text(const std::filesystem::path& path, const std::string& text) {
  std::ofstream(path) << text;
  std::filesystem::permissions(path, std::filesystem::perms::owner_read | std::filesystem::perms::owner_write);
}

std::string read_text(const std::filesystem::path& path) {
  std::ifstream in(path);
  return {std::istreambuf_iterator<char>(in), {}};
}

}  // namespace

Hub::Hub() {
  std::string pattern = (std::filesystem::temp_directory_path() / "mezite-proxy-XXXXXX").string();
  dir = ::mkdtemp(pattern.data());
  auth::Config config;
  config.cluster_name = "test.example";
  config.data_dir = dir / "data";
  std::filesystem::create_directory(config.data_dir);
  config.database.pool_size = 2;
  config.proxy.listen_addr = config.proxy.ssh_listen_addr = config.proxy.tunnel_listen_addr = {"127.0.0.1", 0};
  config.proxy.public_addr = {"localhost", 3080};
  auto opened = auth::Services::open(std::move(config), system_clock(), crypto::kCheapArgon2, crypto::kCheapArgon2);
  if (!opened) {
    ADD_FAILURE() << opened.error().message;
    std::abort();
  }
  services = std::move(*opened);
  shards.start();
  auto started = Proxy::start(*services, shards);
  if (!started) {
    ADD_FAILURE() << started.error().message;
    std::abort();
  }
  proxy = std::move(*started);
  EXPECT_TRUE(services->identity->roles.upsert(
      R"({"kind":"role","version":"v1","metadata":{"name":"dev"},"spec":{"allow":{"node_labels":{"env":["dev"]},"logins":["deploy"]}}})"));
  write_text(dir / "known_hosts",
             "@cert-authority * " + services->authority->trust_bundle().host_cas.front().to_text() + "\n");
}

Hub::~Hub() {
  proxy.reset();
  services.reset();
  std::error_code ignored;
  std::filesystem::remove_all(dir, ignored);
}

Hub::Node Hub::add_node(const std::string& name, access::Labels labels) {
  auto key = std::make_shared<const ssh::PrivateKey>(*ssh::PrivateKey::generate(ssh::KeyType::kEd25519));
  auto tls_key = crypto::SigningKey::generate(crypto::KeyAlgorithm::kEcdsaP256);
  auto token = services->identity->join_tokens.create({});
  EXPECT_TRUE(token);
  identity::NewNode fresh;
  fresh.name = name;
  fresh.hostname = name;
  fresh.labels = std::move(labels);
  fresh.ssh_public_key = key->public_key().to_text();
  fresh.tls_public_key_spki = tls_key->public_key().spki();
  auto joined = services->identity->nodes.join(token->secret, fresh, identity::NameTaken::kRefuse);
  EXPECT_TRUE(joined) << joined.error().message;
  auto certificate = services->authority->issue_host_certificate({joined->node.id, {name}, key->public_key()});
  EXPECT_TRUE(certificate) << certificate.error().message;
  return {joined->node.id, name, key, *certificate};
}

void Hub::add_user(const std::string& name, const std::string& password) {
  auto created = services->identity->users.create({name, {"dev"}, {}});
  EXPECT_TRUE(created) << created.error().message;
  if (password.empty()) return;
  EXPECT_TRUE(services->identity->passwords.set(name, password));
}

std::string Hub::identity_file_with(const std::string& name, const ssh::PrivateKey& key,
                                    const std::string& certificate) {
  std::filesystem::path path = dir / name;
  write_text(path, std::string(key.to_openssh_pem()->text()));
  write_text(path.string() + ".pub", key.public_key().to_text() + "\n");
  if (!certificate.empty()) write_text(path.string() + "-cert.pub", certificate + "\n");
  return path.string();
}

std::string Hub::identity_file(const std::string& user, std::function<void(pki::UserCertificateRequest&)> change) {
  static std::atomic<int> number{0};
  auto key = *ssh::PrivateKey::generate(ssh::KeyType::kEd25519);
  pki::UserCertificateRequest request{.user = user,
                                      .public_key = key.public_key(),
                                      .logins = {"deploy"},
                                      .roles = {"dev"},
                                      .ttl = std::chrono::hours(1)};
  if (change) change(request);
  auto certificate = services->authority->sign_user_certificate(request);
  EXPECT_TRUE(certificate) << certificate.error().message;
  return identity_file_with(fmt::format("id-{}-{}", user, ++number), key, certificate->to_text());
}

Ran Hub::run(const std::string& command, const std::string& input) {
  static std::atomic<int> number{0};
  std::string base = (dir / fmt::format("run-{}", ++number)).string();
  write_text(base + ".in", input);
  Ran ran;
  int status = std::system(fmt::format("( {} ) <{}.in >{}.out 2>{}.err", command, base, base, base).c_str());
  ran.code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  ran.out = read_text(base + ".out");
  ran.err = read_text(base + ".err");
  return ran;
}

Ran Hub::ssh(const std::string& identity, const std::string& user, const std::string& arguments,
             const std::string& command, const std::string& input) {
  return run(fmt::format("timeout 30 ssh -F none -o IdentitiesOnly=yes -o IdentityAgent=none -o BatchMode=yes "
                         "-o UserKnownHostsFile={} -o StrictHostKeyChecking=yes -i {} -p {} {} {}@127.0.0.1 {}",
                         (dir / "known_hosts").string(), identity, proxy->ssh_port(), arguments, user, command),
             input);
}

Ran Hub::curl(const std::string& arguments, const std::string& path) {
  return run(fmt::format("curl -sk --max-time 20 {} https://localhost:{}{}", arguments, proxy->web_port(), path));
}

std::string Hub::wait_event(const std::string& type, const std::vector<std::string>& texts) {
  const auto deadline = std::chrono::steady_clock::now() + net::testing::kPatience;
  std::string seen;
  for (;;) {
    const std::int64_t last = services->audit->last_sequence();
    auto events = services->audit->list({.type = type});
    EXPECT_TRUE(events);
    seen.clear();
    for (const auto& event : *events) {
      bool all = true;
      for (const auto& text : texts) all = all && event.json.find(text) != std::string::npos;
      if (all) return event.json;
      seen += event.json + "\n";
    }
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
    if (left.count() <= 0) break;
    services->audit->await_beyond(last, left);
  }
  ADD_FAILURE() << "no event " << type << " with " << ::testing::PrintToString(texts) << " in\n" << seen;
  return {};
}

std::size_t Hub::count_events(const std::string& type) { return services->audit->list({.type = type})->size(); }

// ---- the agent

class FakeAgent::Control final : public ssh::ChannelHandler {
 public:
  explicit Control(std::weak_ptr<FakeAgent> owner) : owner_(std::move(owner)) {}
  void on_open(ssh::Channel channel) override {
    auto owner = owner_.lock();
    if (!owner) return;
    owner->channel_ = std::move(channel);
    mezite::v1::ToHub hello;
    hello.mutable_hello()->set_version("0.1.0");
    hello.mutable_hello()->set_hostname("host.internal");
    (*hello.mutable_hello()->mutable_labels())["env"] = owner->options_.env;
    owner->send(hello);
  }
  void on_data(BytesView data, ssh::DataKind) override {
    auto owner = owner_.lock();
    if (!owner) return;
    owner->channel_.consumed(data.size());
    EXPECT_TRUE(owner->frames_.feed(data, [&](BytesView frame) -> Status {
      mezite::v1::ToAgent message;
      EXPECT_TRUE(message.ParseFromArray(frame.data(), static_cast<int>(frame.size())));
      owner->on_frame(message);
      return {};
    }));
  }

 private:
  std::weak_ptr<FakeAgent> owner_;
};

std::shared_ptr<FakeAgent> FakeAgent::connect(Hub& hub, const Hub::Node& node, Options options) {
  std::shared_ptr<FakeAgent> agent(new FakeAgent(hub, std::move(options)));
  auto connected = net::connect_blocking({"127.0.0.1", hub.proxy->tunnel_port()}, std::chrono::seconds(5));
  EXPECT_TRUE(connected) << connected.error().message;
  EXPECT_TRUE(net::prepare_socket(connected->fd.get()));
  agent->control_fd_ = connected->fd.get();
  ssh::ClientConfig config;
  config.user = agent->options_.user.empty() ? node.id : agent->options_.user;
  config.identities.push_back({node.key, node.certificate});
  agent->shard_.call([&] {
    auto endpoint = std::make_unique<ssh::ClientEndpoint>(std::move(config), *agent, system_clock());
    agent->endpoint_ = endpoint.get();
    agent->link_ = std::make_unique<net::SshLink>(*agent->shard_, std::move(connected->fd), std::move(endpoint),
                                                  Bytes{}, [](Status) {});
  });
  return agent;
}

FakeAgent::~FakeAgent() {
  shard_.call([this] { link_.reset(); });
  for (auto& thread : echoes_) thread.join();
}

void FakeAgent::leave() {
  UniqueFd control(::fcntl(control_fd_, F_DUPFD_CLOEXEC, 0));
  shard_.call([this] { link_.reset(); });
  ::shutdown(control.get(), SHUT_WR);
  net::testing::receive(control.get());
  // Its shard closes and takes note in one turn.
  for (std::size_t i = 0; i < hub_.shards.size(); ++i) {
    std::promise<void> turn;
    hub_.shards.at(i).post([&turn] { turn.set_value(); });
    turn.get_future().wait();
  }
}

Status FakeAgent::on_host_key(const ssh::PublicKey&, const ssh::Certificate* certificate) {
  if (certificate == nullptr) return fail(ErrorCode::kUnauthenticated, "the hub showed no certificate");
  auto cas = hub_.services->authority->trust_bundle().host_cas;
  ssh::CertificateCheck check;
  check.type = ssh::CertificateType::kHost;
  check.trusted_cas = cas;
  check.now = system_clock().now();
  check.principal = "test.example";
  if (auto checked = ssh::verify_certificate(*certificate, check); !checked) return std::unexpected(checked.error());
  return {};
}

void FakeAgent::on_authenticated() {
  authenticated.put(true);
  endpoint_->open_channel(ssh::OtherOpen{"control@mezite.com", {}}, std::make_shared<Control>(weak_from_this()));
}

void FakeAgent::send(const mezite::v1::ToHub& message) {
  Bytes frame = make_frame(message.SerializeAsString());
  EXPECT_EQ(channel_.write(frame), frame.size());
}

void FakeAgent::on_frame(const mezite::v1::ToAgent& message) {
  if (message.has_refresh()) refreshed.put(message.refresh().revision());
  if (!message.has_dial()) return;
  dialled.put(message.dial());
  if (options_.ignore_dials) return;
  if (options_.refuse_dials) {
    mezite::v1::ToHub failed;
    failed.mutable_dial_failed()->set_token(message.dial().token());
    failed.mutable_dial_failed()->set_error("out of descriptors");
    return send(failed);
  }
  dial_back(message.dial().token());
}

void FakeAgent::dial_back(const std::string& token) {
  echoes_.emplace_back([port = hub_.proxy->tunnel_port(), greeting = options_.greeting, token] {
    auto connected = net::connect_blocking({"127.0.0.1", port}, std::chrono::seconds(5));
    if (!connected) return;
    int fd = connected->fd.get();
    net::testing::send_all(fd, "MEZITE-DIAL/1 " + token + "\n" + greeting);
    std::array<std::uint8_t, 65536> buffer;
    for (ssize_t n = 0; (n = ::recv(fd, buffer.data(), buffer.size(), 0)) > 0;) {
      net::testing::send_all(fd, BytesView(buffer).first(static_cast<std::size_t>(n)));
    }
  });
}

}  // namespace mezite::proxy::testing
