#include "ssh/keys/known_hosts.hh"

#include <gtest/gtest.h>

#include "ssh/keys/private_key.hh"
#include "ssh/keys/test_tools.hh"

namespace mezite::ssh {
namespace {

using namespace std::chrono_literals;

PrivateKey new_key() { return *PrivateKey::generate(KeyType::kEd25519); }

TEST(KnownHostsTest, PatternsPortsAndMarkers) {
  const auto a = new_key(), b = new_key(), ca = new_key(), bad = new_key();
  const auto hosts = KnownHosts::parse(
      "# comment\n\n" + known_hosts_line("web-01,[hub]:3023", a.public_key(), "c") +
      known_hosts_line("*.example,!secret.example", b.public_key()) + known_hosts_ca_line("*", ca.public_key()) +
      "@revoked * " + bad.public_key().to_text() + "\ngarbage\n@what x " + a.public_key().to_text() + "\n");
  EXPECT_EQ(hosts.size(), 4u);
  EXPECT_EQ(hosts.bad_lines(), 2u);
  EXPECT_EQ(hosts.lookup("WEB-01", 22).keys, std::vector{a.public_key()});
  EXPECT_EQ(hosts.lookup("hub", 3023).keys, std::vector{a.public_key()});
  EXPECT_TRUE(hosts.lookup("hub", 22).keys.empty());
  EXPECT_TRUE(hosts.lookup("web-01", 3023).keys.empty());
  EXPECT_EQ(hosts.lookup("x.example", 22).keys, std::vector{b.public_key()});
  EXPECT_TRUE(hosts.lookup("secret.example", 22).keys.empty());
  EXPECT_EQ(hosts.lookup("anything", 1).certificate_authorities, std::vector{ca.public_key()});
  EXPECT_EQ(hosts.lookup("anything", 1).revoked, std::vector{bad.public_key()});
}

TEST(KnownHostsTest, HashedByKeygen) {
  const testing_tools::TemporaryFolder folder;
  const auto key = new_key();
  folder.put("known_hosts",
             known_hosts_line("web-01", key.public_key()) + known_hosts_line("[hub]:3023", key.public_key()));
  ASSERT_EQ(folder.run("ssh-keygen -H -f known_hosts").status, 0);
  const std::string text = folder.get("known_hosts");
  ASSERT_TRUE(text.starts_with("|1|"));
  const auto hosts = KnownHosts::parse(text);
  EXPECT_EQ(hosts.lookup("web-01", 22).keys.size(), 1u);
  EXPECT_EQ(hosts.lookup("hub", 3023).keys.size(), 1u);
  EXPECT_TRUE(hosts.lookup("web-02", 22).empty());
}

TEST(KnownHostsTest, KeygenFindsOurs) {
  const testing_tools::TemporaryFolder folder;
  folder.put("known_hosts", known_hosts_ca_line("*.example,[hub]:3023", new_key().public_key(), "mezite"));
  EXPECT_EQ(folder.run("ssh-keygen -F '[hub]:3023' -f known_hosts").status, 0);
  EXPECT_EQ(folder.run("ssh-keygen -F web.example -f known_hosts").status, 0);
  EXPECT_NE(folder.run("ssh-keygen -F web.other -f known_hosts").status, 0);
}

TEST(KnownHostsTest, HostCredentials) {
  const auto now = system_clock().now();
  const auto ca = new_key(), host = new_key();
  const PublicCredential plain = host.public_key();
  const PublicCredential certified = *sign_certificate({.public_key = host.public_key(),
                                                        .type = CertificateType::kHost,
                                                        .key_id = "web-01",
                                                        .principals = {"web-01"},
                                                        .valid_after = now - 1min,
                                                        .valid_before = now + 1h},
                                                       ca);
  const TrustedHostKeys trusts_ca{.certificate_authorities = {ca.public_key()}};
  const TrustedHostKeys trusts_key{.keys = {host.public_key()}};
  EXPECT_TRUE(check_host_credential(certified, trusts_ca, "web-01", now));
  EXPECT_FALSE(check_host_credential(certified, trusts_ca, "web-02", now));
  EXPECT_FALSE(check_host_credential(certified, trusts_ca, "web-01", now + 2h));
  EXPECT_FALSE(check_host_credential(plain, trusts_ca, "web-01", now));
  EXPECT_TRUE(check_host_credential(plain, trusts_key, "web-01", now));
  EXPECT_FALSE(check_host_credential(certified, trusts_key, "web-01", now));
  EXPECT_FALSE(check_host_credential(plain, {}, "web-01", now));
  // A CA key is not a host key.
  EXPECT_FALSE(check_host_credential(PublicCredential(ca.public_key()), trusts_ca, "web-01", now));
  TrustedHostKeys revoked = trusts_ca;
  revoked.revoked = {host.public_key()};
  EXPECT_FALSE(check_host_credential(certified, revoked, "web-01", now));
  revoked.revoked = {ca.public_key()};
  EXPECT_FALSE(check_host_credential(certified, revoked, "web-01", now));
}

TEST(KnownHostsTest, ManyStarsAreCheap) {
  const auto key = new_key();
  const std::string stars = "*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*b";
  const auto hosts = KnownHosts::parse(known_hosts_line(stars, key.public_key()));
  EXPECT_TRUE(hosts.lookup(std::string(5000, 'a'), 22).empty());
}

}  // namespace
}  // namespace mezite::ssh
