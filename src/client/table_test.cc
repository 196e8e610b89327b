#include "client/table.hh"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "access/role.hh"
#include "client/admin_json.hh"
#include "client/document.hh"
#include "mezite/v1/admin.pb.h"

namespace mezite::client {
namespace {

using Json = nlohmann::ordered_json;
using testing::HasSubstr;

TEST(Table, ColumnsLineUp) {
  Table table({"NAME", "LABELS"});
  table.add({"web-01", "env=dev"});
  table.add({"数据库", "x"});
  table.add({"b"});
  EXPECT_EQ(table.text(),
            "NAME    LABELS\n"
            "web-01  env=dev\n"
            "数据库  x\n"
            "b\n");
  EXPECT_THAT(table.text(Colour::kOn), testing::StartsWith("\x1b[1mNAME"));
}

// Terminal escapes in node names, labels, logins and error texts.
TEST(Table, HostileNamesMoveNoCursorAndForgeNoLine) {
  Table table({"NAME"});
  table.add({"a\x1b[2Jb\r\nFAKE  ok\x07\xc2\x9b\xe2\x80\xae\xff"});
  const std::string text = table.text();
  EXPECT_EQ(std::ranges::count(text, '\n'), 2);
  for (const char c : text) EXPECT_TRUE(c == '\n' || static_cast<unsigned char>(c) >= 0x20);
  EXPECT_THAT(text, testing::Not(HasSubstr("\xe2\x80\xae")));
  Fields fields;
  fields.add("name", "x\x1b]0;title\x07\ny");
  EXPECT_EQ(std::ranges::count(fields.text(), '\n'), 1);
  EXPECT_EQ(fields.text().find('\x1b'), std::string::npos);
}

TEST(Table, TimesAreForPeople) {
  const SystemTime now = from_unix_millis(1'800'000'000'000);
  EXPECT_EQ(shown_time(0, now), "never");
  EXPECT_EQ(shown_time(1'800'000'000'000 - 300'000, now), "2027-01-15 07:55:00 UTC (5m ago)");
  EXPECT_EQ(relative_time(1'800'000'000'000 + 3 * 86'400'000LL, now), "in 3d");
  EXPECT_EQ(relative_time(1'800'000'000'400, now), "just now");
  EXPECT_EQ(shown_bytes(0), "0 B");
  EXPECT_EQ(shown_bytes(1536), "1.5 KiB");
  EXPECT_EQ(shown_bytes(5LL << 40), "5.0 TiB");
}

TEST(Document, YamlThatMeansTheSame) {
  const std::string documents[] = {
      R"({"kind":"role","version":"v1","metadata":{"name":"r","description":"a: b # c\n\u001b \u00e9 'x' \"y\""},)"
      R"("spec":{"options":{"max_session_ttl":"12h","record_session":"off","pin_source_ip":true,"max_sessions":3},)"
      R"("allow":{"node_labels":{"*":"*","env":["dev","^a.*$"],"n":"1","t":"true","e":""},"logins":["{{internal.logins}}","a-b"],)"
      R"("rules":[{"resources":["users","*"],"verbs":["list"]},{"resources":["ca"],"verbs":["*"]}],)"
      R"("join_sessions":[{"roles":["a"],"modes":["peer"]}]},"deny":{"logins":["root"]}}})",
      R"({"kind":"role","version":"v1","metadata":{"name":"r"},"spec":{}})"};
  for (const std::string& json : documents) {
    const auto from_json = access::parse_role(json);
    ASSERT_TRUE(from_json) << from_json.error().message;
    const std::string yaml = json_to_yaml(Json::parse(json));
    const auto from_yaml = access::parse_role(yaml);
    ASSERT_TRUE(from_yaml) << yaml << from_yaml.error().message;
    EXPECT_EQ(*from_yaml, *from_json) << yaml;
  }
  EXPECT_EQ(json_to_yaml(Json::parse(R"([])")), "[]\n");
  EXPECT_EQ(json_to_yaml(Json::parse(R"([{"a":1,"b":[]},{"a":null}])")), "- a: 1\n  b: []\n- a: null\n");
  EXPECT_EQ(json_to_yaml(Json("\x1b[2J")).find('\x1b'), std::string::npos);
}

TEST(AdminJson, HasTheFieldNamesOfTheApi) {
  v1::User user;
  user.set_name("alice");
  user.add_roles("access");
  v1::Trait* trait = user.add_traits();
  trait->set_name("logins");
  trait->add_values("root");
  user.set_created_at_ms(1'800'000'000'123);
  EXPECT_EQ(message_to_json(user).dump(),
            R"({"name":"alice","roles":["access"],"traits":{"logins":["root"]},"locked":false,"has_password":false,)"
            R"("created_at":"2027-01-15T08:00:00.123Z","last_login_at":null})");
  v1::ListNodesResponse nodes;
  v1::Node* node = nodes.add_nodes();
  (*node->mutable_labels())["b"] = "2";
  (*node->mutable_labels())["a"] = "1";
  EXPECT_EQ(message_to_json(nodes)["nodes"][0]["labels"].dump(), R"({"a":"1","b":"2"})");
  v1::Role role;
  role.set_document_json(R"({"kind":"role"})");
  EXPECT_EQ(message_to_json(role)["document"]["kind"], "role");
  v1::Recording recording;
  recording.set_user("alice");
  recording.set_chain_key(std::string(32, '\xff'));
  const Json shown = message_to_json(recording);
  EXPECT_EQ(shown["user"], "alice");
  EXPECT_FALSE(shown.contains("chain_key"));
}

}  // namespace
}  // namespace mezite::client
