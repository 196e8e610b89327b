#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "proxy/testing.hh"
#include "proxy/web_assets.hh"

namespace mezite::proxy {
namespace {

using namespace std::chrono_literals;
using Json = nlohmann::json;
using testing::FakeAgent;
using testing::Hub;
using testing::Ran;

class WebTest : public ::testing::Test {
 protected:
  void SetUp() override {
    web_ = hub_.add_node("web-01", {{"env", "dev"}});
    hub_.add_node("db-01", {{"env", "prod"}});
    hub_.add_user("alice", "correct horse");
    agent_ = FakeAgent::connect(hub_, web_, {.greeting = "SSH-2.0-agent\r\n"});
    hub_.wait_event("node.connected", {web_.id});
  }
  Json post(const std::string& path, const Json& body, const std::string& more = {}) {
    Ran ran = hub_.curl("-H 'Content-Type: application/json' -d '" + body.dump() + "' " + more, path);
    return Json::parse(ran.out, nullptr, false);
  }
  std::string status(const std::string& arguments, const std::string& path) {
    return hub_.curl("-o /dev/null -w '%{http_code}' " + arguments, path).out;
  }
  Json log_in() {
    auto key = *ssh::PrivateKey::generate(ssh::KeyType::kEd25519);
    return post("/v1/webapi/login", {{"user", "alice"},
                                     {"password", "correct horse"},
                                     {"ssh_public_key", key.public_key().to_text()},
                                     {"ttl_seconds", 600}});
  }
  std::string bearer() {
    if (token_.empty()) token_ = log_in()["session_token"].get<std::string>();
    return "-H 'Authorization: Bearer " + token_ + "'";
  }
  // What 3023 answers to a ticket's preface and these bytes behind it.
  std::string spend(const std::string& ticket, const std::string& behind, std::size_t count,
                    const std::string& from = "127.0.0.1") {
    UniqueFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(from == "127.0.0.1" ? INADDR_LOOPBACK : INADDR_LOOPBACK + 1);
    EXPECT_EQ(::bind(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(hub_.proxy->ssh_port());
    EXPECT_EQ(::connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    net::testing::send_all(fd.get(), "MEZITE-TICKET/1 " + ticket + "\n" + behind);
    return net::testing::receive(fd.get(), count);
  }

  Hub hub_;
  Hub::Node web_;
  std::shared_ptr<FakeAgent> agent_;
  std::string token_;
};

TEST_F(WebTest, HealthAndPing) {
  EXPECT_EQ(status("", "/healthz"), "200");
  EXPECT_EQ(status("", "/readyz"), "200");
  Json ping = Json::parse(hub_.curl("", "/v1/webapi/ping").out);
  EXPECT_EQ(ping["cluster_name"], "test.example");
  EXPECT_EQ(ping["ssh_port"], hub_.proxy->ssh_port());
  // The chain ends in the Host CA, so that curl and a pin can check it.
  std::string ca = (hub_.dir / "ca.pem").string();
  hub_.run("cat >" + ca, hub_.services->authority->host_ca_certificate().to_pem());
  Ran checked = hub_.run(fmt::format("curl -sf --cacert {} https://localhost:{}/healthz", ca, hub_.proxy->web_port()));
  EXPECT_EQ(checked.out, "ok\n") << checked.code;
}

TEST_F(WebTest, ALoginGivesACertificateForTheKeyOfTheClient) {
  Json answer = log_in();
  ASSERT_TRUE(answer.contains("certificate")) << answer;
  auto certificate = ssh::Certificate::from_text(answer["certificate"].get<std::string>());
  ASSERT_TRUE(certificate);
  EXPECT_EQ(certificate->key_id(), "alice");
  EXPECT_EQ(certificate->valid_principals(), std::vector<std::string>{"deploy"});
  EXPECT_EQ(answer["cluster_name"], "test.example");
  EXPECT_EQ(answer["host_ca_keys"].size(), 1u);
  EXPECT_EQ(answer["ssh_addr"], fmt::format("localhost:{}", hub_.proxy->ssh_port()));
  EXPECT_EQ(answer["roles"], Json({"dev"}));
  hub_.wait_event("user.login", {"alice", "127.0.0.1"});
  hub_.wait_event("user.cert.issued", {"alice"});
}

TEST_F(WebTest, ExistingAndUnknownUsersAreAnsweredInTheSameBytes) {
  auto key = ssh::PrivateKey::generate(ssh::KeyType::kEd25519)->public_key().to_text();
  auto attempt = [&](const char* user) {
    Json body{{"user", user}, {"password", "wrong password"}, {"ssh_public_key", key}};
    std::string out =
        hub_.curl("-i -H 'Content-Type: application/json' -d '" + body.dump() + "'", "/v1/webapi/login").out;
    std::size_t date = out.find("Date: ");
    return out.erase(date, out.find("\r\n", date) - date);
  };
  std::string existing = attempt("alice");
  EXPECT_TRUE(existing.starts_with("HTTP/1.1 401")) << existing;
  EXPECT_EQ(existing, attempt("nobody-of-that-name"));
  hub_.wait_event("user.login.failed", {"nobody-of-that-name"});
}

TEST_F(WebTest, MalformedBodiesAreRefusedInWords) {
  for (const char* body : {"", "[]", "{", "{\"user\": 1}", "{\"user\": \"a\"}", "\"x\""}) {
    EXPECT_EQ(status(fmt::format("-X POST -H 'Content-Type: application/json' -d '{}'", body), "/v1/webapi/login"),
              "400")
        << body;
  }
  std::string deep(60'000, '[');
  hub_.run("cat >" + (hub_.dir / "deep").string(), deep);
  EXPECT_EQ(
      status("-H 'Content-Type: application/json' --data-binary @" + (hub_.dir / "deep").string(), "/v1/webapi/login"),
      "400");
  hub_.run("cat >" + (hub_.dir / "large").string(), std::string(200'000, 'x'));
  EXPECT_EQ(status("-H Expect: -H 'Content-Type: application/json' --data-binary @" + (hub_.dir / "large").string(),
                   "/v1/webapi/login"),
            "413");
}

TEST_F(WebTest, NodesAreThoseThatTheCallerMayReach) {
  EXPECT_EQ(status("", "/v1/webapi/nodes"), "401");
  EXPECT_EQ(status("-H 'Authorization: Bearer nonsense'", "/v1/webapi/nodes"), "401");
  Json nodes = Json::parse(hub_.curl(bearer(), "/v1/webapi/nodes").out)["nodes"];
  ASSERT_EQ(nodes.size(), 1u) << nodes;
  EXPECT_EQ(nodes[0]["name"], "web-01");
  EXPECT_EQ(nodes[0]["logins"], Json({"deploy"}));
  EXPECT_EQ(nodes[0]["connected"], true);
}

TEST_F(WebTest, ATicketWorksOnceFromTheAddressThatAsked) {
  Json body{{"node", "web-01"}, {"login", "deploy"}};
  std::string ticket = post("/v1/webapi/dial", body, bearer())["ticket"];
  EXPECT_EQ(spend(ticket, "hello", 23), "OK\nSSH-2.0-agent\r\nhello");
  EXPECT_TRUE(spend(ticket, "", SIZE_MAX).starts_with("ERR ")) << "replayed";
  hub_.wait_event("access.denied", {"T4014W", "used"});

  std::string other = post("/v1/webapi/dial", body, bearer())["ticket"];
  EXPECT_TRUE(spend(other, "", SIZE_MAX, "127.0.0.2").starts_with("ERR ")) << "from elsewhere";
  EXPECT_TRUE(spend(other, "", SIZE_MAX).starts_with("ERR ")) << "and used up by it";
  hub_.wait_event("access.denied", {"T4014W", "127.0.0.2"});
}

TEST_F(WebTest, TicketsAreRefusedByTheSameRulesAsConnections) {
  Json denied = post("/v1/webapi/dial", {{"node", "web-01"}, {"login", "root"}}, bearer());
  EXPECT_EQ(denied["error"]["code"], "permission_denied") << denied;
  EXPECT_NE(denied["error"]["message"].get<std::string>().find("(event "), std::string::npos);
  hub_.wait_event("access.denied", {"T4007W", "web-01", "root"});
  Json hidden = post("/v1/webapi/dial", {{"node", "db-01"}, {"login", "deploy"}}, bearer());
  Json unknown = post("/v1/webapi/dial", {{"node", "xx-01"}, {"login", "deploy"}}, bearer());
  EXPECT_EQ(hidden["error"]["code"], "not_found");
  EXPECT_EQ(unknown["error"]["code"], "not_found");
  EXPECT_NE(unknown["error"]["message"].get<std::string>().find("msh ls"), std::string::npos);
  agent_->leave();
  Json away = post("/v1/webapi/dial", {{"node", "web-01"}, {"login", "deploy"}}, bearer());
  EXPECT_EQ(away["error"]["code"], "unavailable") << away;
}

TEST_F(WebTest, RequestsOfOtherSitesAreNotServed) {
  std::string json = "-H 'Content-Type: application/json' -d '{}' ";
  EXPECT_EQ(status(json + bearer() + " -H 'Origin: https://evil.example'", "/v1/webapi/logout"), "403");
  EXPECT_EQ(status(json + bearer() + " -H 'Sec-Fetch-Site: cross-site'", "/v1/webapi/logout"), "403");
  EXPECT_EQ(status("-d '{}' " + bearer(), "/v1/webapi/logout"), "415") << "a form";
  EXPECT_EQ(status("-H 'Host: evil.example' -H 'Cookie: a=b'", "/"), "421") << "DNS rebinding";
  EXPECT_EQ(status(json + bearer(), "/v1/webapi/logout"), "200");
  EXPECT_EQ(status(bearer(), "/v1/webapi/nodes"), "401") << "logged out";
}

TEST_F(WebTest, ThePageSignsInWithACookieThatScriptsCannotRead) {
  std::string jar = (hub_.dir / "jar").string();
  Ran in = hub_.curl(
      "-i -c " + jar + " -H 'Content-Type: application/json' -d '{\"user\":\"alice\",\"password\":\"correct horse\"}'",
      "/v1/webapi/session");
  EXPECT_NE(in.out.find("HttpOnly; SameSite=Strict"), std::string::npos) << in.out;
  EXPECT_EQ(Json::parse(hub_.curl("-b " + jar, "/v1/webapi/session").out)["user"], "alice");
  EXPECT_EQ(status("-b " + jar, "/v1/webapi/nodes"), "200");
  Ran page = hub_.curl("-i", "/invite/abc");
  EXPECT_NE(page.out.find("script-src 'self'"), std::string::npos);
  EXPECT_NE(page.out.find("<title>Mezite</title>"), std::string::npos);
  EXPECT_EQ(page.out.find("<script>"), std::string::npos) << "the policy allows no inline script";
  EXPECT_EQ(status("", "/static/app.js"), "200");
  EXPECT_EQ(status("--path-as-is", "/static/../healthz"), "400");
  EXPECT_FALSE(find_web_asset("style.css").empty());
}

TEST_F(WebTest, AnInviteSetsThePasswordOnce) {
  hub_.add_user("bob");
  auto invite = hub_.services->identity->invites.create("bob", identity::InvitePurpose::kInvite);
  ASSERT_TRUE(invite);
  EXPECT_EQ(post("/v1/webapi/invite", {{"token", invite->secret}, {"password", "short"}})["error"]["code"],
            "invalid_argument");
  EXPECT_EQ(post("/v1/webapi/invite", {{"token", invite->secret}, {"password", "long enough"}})["user"], "bob");
  EXPECT_EQ(post("/v1/webapi/invite", {{"token", invite->secret}, {"password", "another one"}})["error"]["code"],
            "not_found");
  EXPECT_EQ(post("/v1/webapi/session", {{"user", "bob"}, {"password", "long enough"}})["user"], "bob");
}

TEST_F(WebTest, LoginsAreBoundedPerSource) {
  // One connection, so that the requests come fast.
  Ran many =
      hub_.curl("-w '%{http_code}\\n' -H 'Content-Type: application/json' -d '{}'", "'/v1/webapi/login?[1-300]'");
  EXPECT_NE(many.out.find("429"), std::string::npos) << many.out.substr(0, 500);
}

class DrainTest : public WebTest {};

TEST_F(DrainTest, WaitsForWhatRunsThenEnds) {
  std::string ticket = post("/v1/webapi/dial", {{"node", "web-01"}, {"login", "deploy"}}, bearer())["ticket"];
  auto connected = net::connect_blocking({"127.0.0.1", hub_.proxy->ssh_port()}, 5s);
  int fd = connected->fd.get();
  net::testing::send_all(fd, "MEZITE-TICKET/1 " + ticket + "\n");
  ASSERT_EQ(net::testing::receive(fd, 18), "OK\nSSH-2.0-agent\r\n");
  std::thread draining([&] { hub_.proxy->drain(20s); });
  // Each try is a request of its own: what asks /readyz is a balancer, and it asks again.
  std::string ready;
  for (int i = 0; i < 500 && ready != "503"; ++i) ready = status("", "/readyz");
  EXPECT_EQ(ready, "503");
  EXPECT_EQ(status("", "/healthz"), "200");
  EXPECT_FALSE(net::connect_blocking({"127.0.0.1", hub_.proxy->tunnel_port()}, 5s));
  net::testing::send_all(fd, "still");
  EXPECT_EQ(net::testing::receive(fd, 5), "still") << "what runs goes on";
  connected->fd.reset();
  draining.join();
  EXPECT_TRUE(agent_->closed.take());
}

TEST_F(DrainTest, CutsWhatIsLeftAtItsLimit) {
  std::string ticket = post("/v1/webapi/dial", {{"node", "web-01"}, {"login", "deploy"}}, bearer())["ticket"];
  auto connected = net::connect_blocking({"127.0.0.1", hub_.proxy->ssh_port()}, 5s);
  net::testing::send_all(connected->fd.get(), "MEZITE-TICKET/1 " + ticket + "\n");
  ASSERT_EQ(net::testing::receive(connected->fd.get(), 18), "OK\nSSH-2.0-agent\r\n");
  hub_.proxy->drain(100ms);
  EXPECT_EQ(net::testing::receive(connected->fd.get()), "");
}

}  // namespace
}  // namespace mezite::proxy
