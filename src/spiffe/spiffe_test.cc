#include <gmock/gmock.h>

#include "spiffe/id.hh"
#include "spiffe/selector.hh"

namespace mezite::spiffe {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(SpiffeId, IsExactlyOfItsForm) {
  auto id = Id::parse("spiffe://prod.example-1_x/payments/API.v1-2_3");
  ASSERT_TRUE(id) << id.error().message;
  EXPECT_EQ(id->trust_domain, "prod.example-1_x");
  EXPECT_EQ(id->path, "/payments/API.v1-2_3");
  EXPECT_EQ(id->text(), "spiffe://prod.example-1_x/payments/API.v1-2_3");
  // SPIFFE-ID §2: nothing is normalized, everything else is refused.
  for (std::string_view bad : {"",
                               "spiffe:",
                               "spiffe://",
                               "spiffe:///path",
                               "spiffe://td",
                               "spiffe://td/",
                               "spiffe://td/a/",
                               "spiffe://td//a",
                               "spiffe://td/./a",
                               "spiffe://td/a/..",
                               "spiffe://TD/a",
                               "SPIFFE://td/a",
                               "https://td/a",
                               "spiffe://td:80/a",
                               "spiffe://user@td/a",
                               "spiffe://td/a?q",
                               "spiffe://td/a#f",
                               "spiffe://td/a b",
                               "spiffe://td/%61",
                               "spiffe://td/\xc3\xa4",
                               " spiffe://td/a",
                               "spiffe://td/a\n"}) {
    EXPECT_FALSE(Id::parse(bad)) << bad;
  }
  EXPECT_FALSE(Id::parse(std::string("spiffe://td/a\0b", 15)));
  EXPECT_TRUE(Id::parse("spiffe://" + std::string(255, 'a') + "/x"));
  EXPECT_FALSE(Id::parse("spiffe://" + std::string(256, 'a') + "/x"));
  EXPECT_TRUE(Id::parse("spiffe://td/" + std::string(kMaxIdBytes - 12, 'a')));
  EXPECT_FALSE(Id::parse("spiffe://td/" + std::string(kMaxIdBytes - 11, 'a')));
}

TEST(Selector, SaysWhatItIs) {
  for (std::string_view text :
       {"unix:uid:0", "unix:gid:1000", "unix:user:payments", "unix:group:www-data", "unix:path:/usr/bin/my program",
        "systemd:unit:payments@1.service", "node:name:web-01", "node:label:env=prod", "node:label:a=b=c"}) {
    auto selector = Selector::parse(text);
    ASSERT_TRUE(selector) << selector.error().message;
    EXPECT_EQ(selector->text(), text);
  }
  for (std::string_view bad : {"",
                               "unix",
                               "unix:uid:",
                               "unix:uid:-1",
                               "unix:uid:+1",
                               "unix:uid:01",
                               "unix:uid:1x",
                               "unix:uid:4294967295",
                               "unix:uid:99999999999999999999",
                               "unix:path:usr/bin/x",
                               "unix:path:/",
                               "unix:path:/usr/../bin/x",
                               "unix:path://bin/x",
                               "unix:path:/bin/x/",
                               "unix:user: x",
                               "unix:user:a\nb",
                               "systemd:unit:payments",
                               "systemd:unit:payments.slice",
                               "systemd:unit:.service",
                               "systemd:unit:a/b.service",
                               "node:label:env",
                               "node:label:=prod",
                               "k8s:pod:x",
                               "unix:UID:1"}) {
    EXPECT_FALSE(Selector::parse(bad)) << bad;
  }
  EXPECT_THAT(Selector::parse("docker:x:y").error().message, HasSubstr("unix:uid:"));
}

TEST(Selectors, AllMustHold) {
  auto selectors = Selectors::parse({"unix:path:/usr/bin/payments", "node:label:env=prod", "unix:uid:1000"});
  ASSERT_TRUE(selectors) << selectors.error().message;
  EXPECT_THAT(selectors->texts(), ElementsAre("unix:uid:1000", "unix:path:/usr/bin/payments", "node:label:env=prod"));
  EXPECT_TRUE(selectors->match_node("any", {{"env", "prod"}, {"team", "x"}}));
  EXPECT_FALSE(selectors->match_node("any", {{"env", "dev"}}));
  EXPECT_FALSE(selectors->match_node("any", {}));
  Process process{.uid = 1000, .gid = 1, .user = "p", .group = "g", .path = "/usr/bin/payments", .systemd_unit = ""};
  EXPECT_TRUE(selectors->match_process(process));
  process.uid = 1001;
  EXPECT_FALSE(selectors->match_process(process));
  process.uid = 1000;
  process.path = "/usr/bin/payments2";
  EXPECT_FALSE(selectors->match_process(process));
  process.path.clear();  // not known is not equal
  EXPECT_FALSE(selectors->match_process(process));
}

TEST(Selectors, EachKindIsLookedAt) {
  const Process right{.uid = 5, .gid = 6, .user = "u", .group = "g", .path = "/p", .systemd_unit = "s.service"};
  const Process wrong{.uid = 6, .gid = 5, .user = "g", .group = "u", .path = "/s", .systemd_unit = "p.service"};
  for (const char* text :
       {"unix:uid:5", "unix:gid:6", "unix:user:u", "unix:group:g", "unix:path:/p", "systemd:unit:s.service"}) {
    auto selectors = Selectors::parse({text});
    ASSERT_TRUE(selectors) << text;
    EXPECT_TRUE(selectors->match_process(right)) << text;
    EXPECT_FALSE(selectors->match_process(wrong)) << text;
    EXPECT_TRUE(selectors->match_node("n", {}));
  }
  auto on_node = Selectors::parse({"unix:uid:5", "node:name:web-01"});
  EXPECT_TRUE(on_node->match_node("web-01", {}));
  EXPECT_FALSE(on_node->match_node("web-02", {}));
}

TEST(Selectors, WouldNeverGiveAnIdentityToEveryProcess) {
  EXPECT_THAT(Selectors::parse({}).error().message, HasSubstr("at least one"));
  EXPECT_THAT(Selectors::parse({"node:name:web-01", "node:label:env=prod"}).error().message, HasSubstr("at least one"));
  EXPECT_THAT(Selectors::parse({"unix:uid:1", "unix:uid:2"}).error().message, HasSubstr("one of a kind"));
  EXPECT_THAT(Selectors::parse({"unix:uid:1", "node:label:a=1", "node:label:a=2"}).error().message,
              HasSubstr("one of a kind"));
  EXPECT_TRUE(Selectors::parse({"unix:uid:1", "node:label:a=1", "node:label:b=2"}));
  EXPECT_FALSE(Selectors::parse(std::vector<std::string>(17, "unix:uid:1")));
}

}  // namespace
}  // namespace mezite::spiffe
