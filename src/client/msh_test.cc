// The parts of msh that need no hub.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <filesystem>

#include "base/file.hh"
#include "client/escape.hh"
#include "client/express.hh"
#include "client/node_filter.hh"
#include "client/node_login.hh"
#include "client/profile.hh"
#include "client/ssh_config.hh"
#include "client/target.hh"
#include "client/web_api.hh"

namespace mezite::client {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

class TemporaryHome {
 public:
  TemporaryHome() {
    std::string pattern = std::filesystem::temp_directory_path() / "mezite-msh-XXXXXX";
    path_ = ::mkdtemp(pattern.data());
  }
  ~TemporaryHome() { std::filesystem::remove_all(path_); }
  TemporaryHome(const TemporaryHome&) = delete;
  TemporaryHome& operator=(const TemporaryHome&) = delete;
  std::filesystem::path path() const { return std::filesystem::path(path_) / "msh"; }

 private:
  std::string path_;
};

unsigned mode_of(const std::filesystem::path& path) {
  struct stat about{};
  return ::stat(path.c_str(), &about) == 0 ? about.st_mode & 0777u : 0;
}

Profile example() {
  return {.proxy = "hub.example:3080",
          .trust = TrustMode::kPin,
          .ca_pin = "sha256:" + std::string(64, 'a'),
          .user = "alice",
          .cluster = "example",
          .ssh_addr = "hub.example:3023",
          .session_token = "secret",
          .expires_at = from_unix_seconds(1'800'000'000),
          .roles = {"access"},
          .logins = {"root", "ubuntu"},
          .host_cas = {ssh::PrivateKey::generate(ssh::KeyType::kEd25519)->public_key().to_text("host")}};
}

TEST(ProfileTest, RoundTripsWithTightModes) {
  const TemporaryHome folder;
  const Home home(folder.path());
  EXPECT_THAT(home.current().error().message, HasSubstr("msh login"));
  const Profile profile = example();
  ASSERT_TRUE(home.save(profile));
  const auto again = home.current();
  ASSERT_TRUE(again);
  EXPECT_EQ(profile_to_json(*again), profile_to_json(profile));
  EXPECT_EQ(again->ca_pin, profile.ca_pin);
  EXPECT_EQ(again->expires_at, profile.expires_at);
  EXPECT_FALSE(again->expired(profile.expires_at - 1s));
  EXPECT_TRUE(again->expired(profile.expires_at));
  EXPECT_EQ(mode_of(home.folder()), 0700u);
  EXPECT_EQ(mode_of(home.folder() / "hub.example_3080"), 0700u);
  EXPECT_EQ(mode_of(home.folder() / "hub.example_3080" / "profile.json"), 0600u);
  EXPECT_EQ(mode_of(home.known_hosts()), 0600u);
  EXPECT_THAT(to_text(*read_file(home.known_hosts())), testing::StartsWith("@cert-authority * ssh-ed25519 AAAA"));

  const auto key = *ssh::PrivateKey::generate(ssh::KeyType::kEd25519);
  const auto certificate = *ssh::sign_certificate({.public_key = key.public_key(),
                                                   .key_id = "alice",
                                                   .principals = {"root"},
                                                   .valid_after = from_unix_seconds(1),
                                                   .valid_before = from_unix_seconds(2)},
                                                  key);
  ASSERT_TRUE(write_identity(home.identity(profile), key, certificate));
  EXPECT_EQ(mode_of(home.identity(profile).key), 0600u);
  const auto identity = read_identity(home.identity(profile));
  ASSERT_TRUE(identity);
  EXPECT_EQ(identity->certificate, certificate);

  ASSERT_TRUE(home.forget(profile));
  EXPECT_FALSE(read_identity(home.identity(profile)));
  const auto rest = home.find("hub.example:3080");
  ASSERT_TRUE(rest);
  EXPECT_EQ(rest->session_token, "");
  EXPECT_EQ(rest->ca_pin, profile.ca_pin);  // what was confirmed once stays confirmed
  EXPECT_THAT(to_text(*read_file(home.known_hosts())), IsEmpty());
}

TEST(ProfileTest, HostileNamesStayInTheFolder) {
  EXPECT_EQ(profile_name("hub.example:3080"), "hub.example_3080");
  EXPECT_EQ(profile_name("../../etc/passwd"), "_.._.._etc_passwd");
  EXPECT_EQ(profile_name(".."), "_..");
  EXPECT_EQ(profile_name(""), "_");
  EXPECT_EQ(profile_name("[::1]:3080"), "___1__3080");
  EXPECT_FALSE(profile_from_json("{}"));
  EXPECT_FALSE(profile_from_json("not json"));
  EXPECT_TRUE(profile_from_json(R"({"proxy":"a:1","roles":7,"expires_at":"never"})"));
}

TEST(ProfileTest, KeyLines) {
  const auto key = ssh::PrivateKey::generate(ssh::KeyType::kEd25519)->public_key();
  const auto keys =
      parse_key_lines({key.to_text(), key.to_text("c"), "@cert-authority *.example,x " + key.to_text("c")});
  ASSERT_TRUE(keys);
  EXPECT_THAT(*keys, ElementsAre(key, key, key));
  EXPECT_FALSE(parse_key_lines({"garbage"}));
  EXPECT_FALSE(parse_key_lines({"@cert-authority"}));
}

TEST(WebApiTest, Answers) {
  const auto login = parse_login_answer(
      R"({"user":"alice","certificate":"c","host_ca_keys":["k"],"cluster_name":"example","session_token":"t",
          "expires_at":"2026-03-24T09:15:00Z","ssh_addr":"hub:3023","roles":["access"],"logins":["root"],"more":1})");
  ASSERT_TRUE(login);
  EXPECT_EQ(login->session_token, "t");
  EXPECT_THAT(login->logins, ElementsAre("root"));
  for (const char* bad :
       {"", "[]", "{}", R"({"certificate":1,"session_token":"t","expires_at":"x","host_ca_keys":["k"]})",
        R"({"certificate":"c","session_token":"t","expires_at":"2026-03-24T09:15:00Z","host_ca_keys":[]})"}) {
    const auto answer = parse_login_answer(bad);
    ASSERT_FALSE(answer) << bad;
    EXPECT_EQ(answer.error().code, ErrorCode::kProtocol);
  }
  const auto nodes = parse_nodes(
      R"({"nodes":[{"name":"web-01","hostname":"w","labels":{"env":"prod","n":7},"logins":["root"],"connected":true},{"name":"b"}]})");
  ASSERT_TRUE(nodes);
  EXPECT_EQ(nodes->at(0).labels.at("env"), "prod");
  EXPECT_TRUE(nodes->at(0).connected);
  EXPECT_FALSE(nodes->at(1).connected);
  EXPECT_FALSE(parse_nodes(R"({"nodes":[7]})"));
  EXPECT_FALSE(parse_nodes(R"({"nodes":[{}]})"));
  EXPECT_TRUE(parse_nodes(R"({"nodes":[]})")->empty());
  EXPECT_EQ(parse_dial_ticket(R"({"ticket":"YWJj","ssh_addr":"hub:3023"})")->ticket, "YWJj");
  EXPECT_FALSE(parse_dial_ticket(R"({"ticket":"a\nMEZITE-DIAL/1","ssh_addr":"hub:3023"})"));
}

TEST(WebApiTest, ErrorsAreSentences) {
  const Error error =
      parse_error(401, R"({"error":{"code":"unauthenticated","message":"wrong user or \u001b[2Jpassword"}})");
  EXPECT_EQ(error.code, ErrorCode::kUnauthenticated);
  EXPECT_THAT(error.message, HasSubstr("wrong user or"));
  EXPECT_THAT(error.message, Not(HasSubstr("\x1b")));
  EXPECT_EQ(parse_error(502, "<html>").message, "the hub answered with HTTP status 502");
  EXPECT_EQ(parse_error(404, R"({"error":"text"})").code, ErrorCode::kNotFound);
}

TEST(TargetTest, LoginAndNode) {
  EXPECT_EQ(parse_target("web-01")->node, "web-01");
  EXPECT_EQ(parse_target("root@web-01")->login, "root");
  EXPECT_EQ(parse_target("alice@corp@web-01")->login, "alice@corp");
  for (const char* bad :
       {"", "@web", "root@", "-oProxyCommand=x", "root@-x", "-l@web", "a b", "web\n01", "web\x1b[2J"}) {
    EXPECT_FALSE(parse_target(bad)) << bad;
  }
}

TEST(TargetTest, ChoosesALogin) {
  EXPECT_EQ(choose_login("deploy", {"root"}, "me"), "deploy");
  EXPECT_EQ(choose_login("", {"root", "me"}, "me"), "me");
  EXPECT_EQ(choose_login("", {"root"}, "me"), "root");
  EXPECT_THAT(choose_login("", {"root", "ubuntu"}, "me").error().message, HasSubstr("root, ubuntu"));
  EXPECT_FALSE(choose_login("", {}, "me"));
}

TEST(TargetTest, SshArguments) {
  const auto split = [](std::vector<std::string> args) { return split_ssh_arguments(args); };
  auto a = split({"-t", "root@web", "ls", "-l", "--color"});
  EXPECT_THAT(a.options, ElementsAre("-t"));
  EXPECT_EQ(a.target, "root@web");
  EXPECT_THAT(a.command, ElementsAre("ls", "-l", "--color"));
  a = split({"-l", "root", "-oUser=x", "-o", "BatchMode=yes", "web", "-p", "22", "uname", "-a"});
  EXPECT_THAT(a.options, ElementsAre("-l", "root", "-oUser=x", "-o", "BatchMode=yes", "-p", "22"));
  EXPECT_EQ(a.target, "web");
  EXPECT_THAT(a.command, ElementsAre("uname", "-a"));
  a = split({"--login=root", "web", "--", "-x"});
  EXPECT_THAT(a.command, ElementsAre("-x"));
  a = split({"--", "web", "id"});
  EXPECT_EQ(a.target, "web");
  EXPECT_THAT(a.command, ElementsAre("id"));
  a = split({"-Tl", "root", "web"});
  EXPECT_THAT(a.options, ElementsAre("-Tl", "root"));
  EXPECT_EQ(split({}).target, "");
  EXPECT_EQ(split({"--login"}).target, "");
}

TEST(TargetTest, SshOptions) {
  EXPECT_EQ(parse_ssh_option("StrictHostKeyChecking=no")->key, "StrictHostKeyChecking");
  EXPECT_EQ(parse_ssh_option("setenv FOO=bar")->value, "FOO=bar");
  EXPECT_EQ(parse_ssh_option("SetEnv=FOO=bar")->value, "FOO=bar");
  EXPECT_FALSE(parse_ssh_option("NoSuchThing=1"));
  EXPECT_FALSE(parse_ssh_option("BatchMode"));
  EXPECT_FALSE(parse_ssh_option(""));
}

TEST(SshConfigTest, StockSshAcceptsIt) {
  const TemporaryHome folder;
  ASSERT_TRUE(make_directories(folder.path()));
  Profile profile = example();
  const SshConfigPaths paths{folder.path() / "id", folder.path() / "id-cert.pub", folder.path() / "known_hosts"};
  const auto text = make_ssh_config(profile, paths);
  ASSERT_TRUE(text) << text.error().message;
  ASSERT_TRUE(write_file(folder.path() / "config", as_bytes(*text)));
  const std::string command = "ssh -G -F " + (folder.path() / "config").string() + " root@web-01.example > " +
                              (folder.path() / "out").string() + " 2>&1";
  EXPECT_EQ(::system(command.c_str()), 0);
  const std::string out = to_text(*read_file(folder.path() / "out"));
  EXPECT_THAT(out, HasSubstr("proxyjump mezite-hub-example\n"));
  EXPECT_THAT(out, HasSubstr("certificatefile " + paths.certificate.string()));
  EXPECT_THAT(out, HasSubstr("stricthostkeychecking true"));
}

// bad-input.md: "Hostile names in generated ssh_config".
TEST(SshConfigTest, HostileNamesAreRefused) {
  const SshConfigPaths paths{"/h/id", "/h/id-cert.pub", "/h/known_hosts"};
  for (const char* name :
       {"a\n    ProxyCommand touch /tmp/x", "*", "a b", "-x", "", "a\"b", "a%h", "a`x`", "$(x)", "a,b", "!a"}) {
    Profile profile = example();
    profile.cluster = name;
    EXPECT_FALSE(make_ssh_config(profile, paths)) << name;
    profile = example();
    profile.user = name;
    EXPECT_FALSE(make_ssh_config(profile, paths)) << name;
    profile = example();
    profile.ssh_addr = std::string(name) + ":3023";
    EXPECT_FALSE(make_ssh_config(profile, paths)) << name;
  }
  EXPECT_FALSE(make_ssh_config(example(), {"/h/\"x", "/h/c", "/h/k"}));
}

TEST(NodeFilterTest, SearchAndLabels) {
  const Node node{.name = "db-01", .hostname = "ip-10-0-0-7", .labels = {{"env", "prod"}, {"team", "DB"}}};
  const auto matches = [&node](const std::string& search, const std::vector<std::string>& labels) {
    return NodeFilter::make(search, labels)->matches(node);
  };
  EXPECT_TRUE(matches("", {}));
  EXPECT_TRUE(matches("DB prod", {"env=prod"}));
  EXPECT_TRUE(matches("10-0", {"team=*"}));
  EXPECT_FALSE(matches("web", {}));
  EXPECT_FALSE(matches("", {"env=prod", "team=web"}));
  EXPECT_FALSE(matches("", {"zone=*"}));
  EXPECT_FALSE(NodeFilter::make("", {"env"}));
  EXPECT_FALSE(NodeFilter::make("", {"=x"}));
}

TEST(EscapeTest, TildeAtTheStartOfALine) {
  const auto run = [](std::initializer_list<const char*> keys) {
    EscapeFilter filter;
    Bytes out;
    std::string seen;
    for (const char* piece : keys) {
      if (filter.filter(as_bytes(piece), out) == EscapeFilter::Verdict::kDisconnect) return to_text(out) + "|";
    }
    return to_text(out);
  };
  EXPECT_EQ(run({"~."}), "|");
  EXPECT_EQ(run({"ls\r", "~", "."}), "ls\r|");
  EXPECT_EQ(run({"a~."}), "a~.");
  EXPECT_EQ(run({"~~."}), "~.");
  EXPECT_EQ(run({"~x"}), "~x");
  EXPECT_EQ(run({"~/bin\r"}), "~/bin\r");
}

TEST(ExpressTest, AnswersOfTheHub) {
  EXPECT_TRUE(parse_ticket_answer("OK"));
  EXPECT_EQ(parse_ticket_answer("ERR the node web-01 is not connected").error().message,
            "the node web-01 is not connected");
  EXPECT_EQ(parse_ticket_answer("SSH-2.0-OpenSSH").error().code, ErrorCode::kProtocol);
  EXPECT_FALSE(parse_ticket_answer(""));
}

TEST(NodeCertificateTest, NameCaAndTime) {
  const auto ca = *ssh::PrivateKey::generate(ssh::KeyType::kEd25519);
  const auto host = *ssh::PrivateKey::generate(ssh::KeyType::kEd25519);
  const SystemTime now = from_unix_seconds(1'800'000'000);
  const auto sign = [&](ssh::CertificateType type, const ssh::PrivateKey& by) {
    return *ssh::sign_certificate({.public_key = host.public_key(),
                                   .type = type,
                                   .key_id = "web-01",
                                   .principals = {"web-01", "web-01.example"},
                                   .valid_after = now - 1min,
                                   .valid_before = now + 1h},
                                  by);
  };
  const std::vector cas{ca.public_key()};
  const auto certificate = sign(ssh::CertificateType::kHost, ca);
  EXPECT_TRUE(check_node_certificate(host.public_key(), &certificate, cas, "web-01", now));
  EXPECT_TRUE(check_node_certificate(host.public_key(), &certificate, cas, "web-01.example", now));
  EXPECT_FALSE(check_node_certificate(host.public_key(), &certificate, cas, "web-02", now));
  EXPECT_FALSE(check_node_certificate(host.public_key(), &certificate, cas, "web-01", now + 2h));
  EXPECT_FALSE(check_node_certificate(host.public_key(), &certificate, {}, "web-01", now));
  EXPECT_FALSE(check_node_certificate(host.public_key(), nullptr, cas, "web-01", now));
  const auto foreign = sign(ssh::CertificateType::kHost, host);
  EXPECT_FALSE(check_node_certificate(host.public_key(), &foreign, cas, "web-01", now));
  const auto user = sign(ssh::CertificateType::kUser, ca);
  EXPECT_FALSE(check_node_certificate(host.public_key(), &user, cas, "web-01", now));
}

}  // namespace
}  // namespace mezite::client
