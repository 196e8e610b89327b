#include "audit/event.hh"

#include <gtest/gtest.h>

#include <cstdlib>

#include "base/file.hh"

namespace mezite::audit {
namespace {

TEST(Catalogue, ContractsCodes) {
  EXPECT_EQ(info(EventKind::kUserLogin).code, "T1000I");
  EXPECT_EQ(info(EventKind::kUserLoginFailed).code, "T1000W");
  EXPECT_EQ(info(EventKind::kSessionStart).type, "session.start");
  EXPECT_EQ(info(EventKind::kSessionStart).code, "T2000I");
  EXPECT_EQ(info(EventKind::kAccessDeniedSourceAddress).type, "access.denied");
  EXPECT_EQ(info(EventKind::kAccessDeniedSourceAddress).code, "T4001W");
  EXPECT_EQ(find_code("T4001W")->kind, EventKind::kAccessDeniedSourceAddress);
  EXPECT_EQ(find_code("T9999X"), nullptr);
  EXPECT_TRUE(is_known_type("access.denied"));
  EXPECT_FALSE(is_known_type("access"));
}

TEST(Catalogue, EveryTypeSaysWhatItsDetailsHold) {
  for (const EventInfo& event : kCatalogue) {
    EXPECT_NE(details_of(event.type), nullptr) << event.type << ": add a row to catalogue_fields.cc";
  }
}

TEST(Catalogue, DocumentIsMadeFromTheTable) {
  std::string path = MEZITE_SOURCE_DIR "/docs/audit-events.md";
  if (std::getenv("MEZITE_WRITE_DOCS") != nullptr) {
    ASSERT_TRUE(write_file(path, as_bytes(catalogue_markdown()), 0644));
  }
  auto committed = read_file(path);
  ASSERT_TRUE(committed) << committed.error().message;
  EXPECT_TRUE(as_text(*committed) == catalogue_markdown())
      << "run: MEZITE_WRITE_DOCS=1 audit_test --gtest_filter='Catalogue.*'";
}

Event full() {
  ManualClock clock;
  Event event = make_event(EventKind::kSessionStart, clock);
  event.cluster_name = "example";
  event.user_name = "alice";
  event.user_roles = {"access", "dev"};
  event.resource_type = "node";
  event.resource_name = "web-01";
  event.resource_labels = {{"env", "prod"}, {"a", "b"}};
  event.server_id = "n1";
  event.server_hostname = "web-01";
  event.client_ip = "192.0.2.7";
  event.session_id = "5d0f6c46-0000-4000-8000-000000000001";
  event.impersonator = "bob";
  event.details =
      Details().add("z", 1).add("login", "root").add("a", true).add("l", std::vector<std::string>{"x", "y"}).text();
  return event;
}

TEST(Event, CanonicalFormIsFixed) {
  Event event = full();
  event.id = "f81d4fae-7dec-41d0-a765-00a0c91e6bf6";
  EXPECT_EQ(
      to_canonical_json(event),
      R"({"client_ip":"192.0.2.7","cluster_name":"example","details":{"a":true,"l":["x","y"],"login":"root","z":1},)"
      R"("error_message":"","event_code":"T2000I","event_type":"session.start",)"
      R"("id":"f81d4fae-7dec-41d0-a765-00a0c91e6bf6","impersonator":"bob","resource_labels":{"a":"b","env":"prod"},)"
      R"("resource_name":"web-01","resource_type":"node","server_hostname":"web-01","server_id":"n1",)"
      R"("session_id":"5d0f6c46-0000-4000-8000-000000000001","success":true,"timestamp":"2027-01-15T08:00:00.000Z",)"
      R"("user_name":"alice","user_roles":["access","dev"]})");
}

TEST(Event, JsonAndBack) {
  Event event = full();
  std::string json = to_canonical_json(event);
  auto back = event_from_json(json);
  ASSERT_TRUE(back) << back.error().message;
  EXPECT_EQ(to_canonical_json(*back), json);
  EXPECT_EQ(back->details, R"({"a":true,"l":["x","y"],"login":"root","z":1})");
  // The stored form is taken too.
  json.pop_back();
  EXPECT_EQ(to_canonical_json(event_from_json(json + R"(,"hmac":"00","hmac_key_id":"none","prev_hmac":"00"})").value()),
            json + "}");
}

// Terminal escapes, HTML, quotes, NUL and bytes that are not UTF-8 in names and details stay data.
TEST(Event, HostileText) {
  Event event = full();
  for (const std::string& text :
       std::vector<std::string>{"\x1b[2Jx", "<script>", "a\"b\\c", std::string("a\0b", 3), "\xff\xfe", "\xc3",
                                "\xe2\x80\xae", "line\nbreak", "{\"a\":1}", "\x7f"}) {
    event.user_name = text;
    event.details = Details().add(text, text).text();
    CanonicalEvent canonical = canonicalize(event);
    EXPECT_EQ(canonical.json.find('\n'), std::string::npos);
    EXPECT_EQ(canonical.json.find('\x1b'), std::string::npos);
    auto back = event_from_json(canonical.json);
    ASSERT_TRUE(back) << back.error().message << canonical.json;
    EXPECT_EQ(back->user_name, canonical.event.user_name);
    EXPECT_EQ(to_canonical_json(*back), canonical.json);
  }
  event.details = "not json \xff";
  EXPECT_EQ(canonicalize(event).event.details, "{\"text\":\"not json \xef\xbf\xbd\"}");
  for (const char* details : {"[1]", "1", "{", "{\"a\":1e999}", "{\"a\":1}x", "null"}) {
    event.details = details;
    auto back = event_from_json(to_canonical_json(event));
    ASSERT_TRUE(back) << details;
    EXPECT_EQ(back->details.find("{\"text\":"), 0u) << details;
  }
}

TEST(Event, OversizedIsCutAndSaysSo) {
  Event event = full();
  event.details = Details().add("command", std::string(200'000, 'x')).text();
  event.user_name = std::string(100'000, '\x01');
  for (int i = 0; i < 5000; ++i) event.user_roles.push_back("role" + std::to_string(i));
  CanonicalEvent canonical = canonicalize(event);
  EXPECT_LE(canonical.json.size(), kMaxEventJsonBytes);
  EXPECT_EQ(canonical.event.details.find("{\"cut\":true"), 0u);
  EXPECT_TRUE(event_from_json(canonical.json));
}

// What an agent writes, the hub takes: whatever a path, a label or a command was.
TEST(Event, WhatIsWrittenIsTaken) {
  Event event = full();
  std::string deep = "1";
  for (int i = 0; i < 16; ++i) deep = "{\"a\":" + deep + "}";
  for (const std::string& text : {std::string(20'000, 'x'), std::string(20'000, '\xff'), std::string("\xc3\xa9", 2)}) {
    std::string many;
    for (int i = 0; i < 4099; ++i) many += text.substr(0, 2);
    event.user_name = event.client_ip = event.resource_name = event.session_id = event.server_hostname = many;
    event.error_message = event.resource_type = event.impersonator = event.server_id = many;
    event.details = deep;
    for (int i = 0; i < 300; ++i) event.user_roles.push_back("r");
    for (int i = 0; i < 300; ++i) event.resource_labels["k" + std::to_string(i)] = "v";
    CanonicalEvent canonical = canonicalize(event);
    auto back = event_from_json(canonical.json);
    ASSERT_TRUE(back) << back.error().message;
    EXPECT_EQ(to_canonical_json(*back), canonical.json);
  }
}

// Any byte of an event changed, lost or doubled on its way: it is refused, or it is an event.
TEST(Event, ChangedBytesAreRefusedOrHarmless) {
  const std::string good = to_canonical_json(full());
  std::uint32_t random = 1;
  std::size_t taken = 0;
  for (std::size_t at = 0; at < good.size(); ++at) {
    for (int way = 0; way < 6; ++way) {
      std::string json = good;
      random = random * 1664525 + 1013904223;
      if (way == 0) json.erase(at, 1 + (random >> 16) % 40);
      if (way == 1) json.insert(at, json.substr(at, 1 + (random >> 16) % 40));
      if (way >= 2) json[at] = static_cast<char>(random >> 24);
      auto event = event_from_json(json);
      if (!event) continue;
      ++taken;
      auto again = event_from_json(to_canonical_json(*event));
      ASSERT_TRUE(again) << json;
      EXPECT_EQ(*again, *event) << json;
    }
  }
  EXPECT_GT(taken, 100u);
}

TEST(Event, UnknownShapesAreRefused) {
  std::string good = to_canonical_json(full());
  auto with = [&](std::string_view from, std::string_view to) {
    std::string json = good;
    auto at = json.find(from);
    EXPECT_NE(at, std::string::npos) << from;
    return event_from_json(json.replace(at, from.size(), to));
  };
  ASSERT_TRUE(with("alice", "bob"));
  for (auto [from, to] : std::initializer_list<std::pair<std::string_view, std::string_view>>{
           {"\"user_name\"", "\"user\""},
           {"\"alice\"", "5"},
           {"\"alice\"", "null"},
           {"\"success\":true", "\"success\":\"true\""},
           {"\"success\":true", "\"success\":1"},
           {"[\"access\",\"dev\"]", "\"access\""},
           {"[\"access\",\"dev\"]", "[1]"},
           {"T2000I", "T9999I"},
           {"T2000I", "T4000W"},
           {"session.start", "session.begin"},
           {"{\"a\":\"b\"", "{\"a\":[]"},
           {"2027-01-15T08:00:00.000Z", "yesterday"},
           {"\"details\":{", "\"details\":[],\"x\":{"}}) {
    auto refused = with(from, to);
    ASSERT_FALSE(refused) << from << " -> " << to;
    EXPECT_EQ(refused.error().code, ErrorCode::kInvalidArgument);
  }
  EXPECT_FALSE(event_from_json(""));
  EXPECT_FALSE(event_from_json("[]"));
  EXPECT_FALSE(event_from_json("{}"));
  EXPECT_FALSE(event_from_json(good + "x"));
  EXPECT_FALSE(event_from_json(std::string(60'000, '[')));
  std::string deep = good;
  deep.replace(deep.find("\"z\":1"), 5, "\"z\":" + std::string(1000, '[') + std::string(1000, ']'));
  EXPECT_FALSE(event_from_json(deep));
  EXPECT_FALSE(event_from_json(good + std::string(70'000, ' ')));
  for (std::size_t cut = 0; cut < good.size(); ++cut) EXPECT_FALSE(event_from_json(good.substr(0, cut)));
}

}  // namespace
}  // namespace mezite::audit
