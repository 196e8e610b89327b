#include <gtest/gtest.h>

#include <limits>

#include "base/ascii.hh"
#include "base/back_off.hh"
#include "base/bytes.hh"
#include "base/clock.hh"
#include "base/file.hh"
#include "base/id.hh"
#include "base/log.hh"
#include "base/secret.hh"
#include "base/text.hh"

namespace mezite {
namespace {

using namespace std::chrono_literals;

TEST(Bytes, Base64RoundTripsEveryLength) {
  Bytes bytes;
  for (int i = 0; i < 70; ++i) {
    EXPECT_EQ(from_base64(to_base64(bytes)).value(), bytes);
    EXPECT_EQ(from_base64(to_base64_unpadded(bytes)).value(), bytes);
    EXPECT_EQ(from_base64url(to_base64url(bytes)).value(), bytes);
    EXPECT_EQ(from_hex(to_hex(bytes)).value(), bytes);
    bytes.push_back(static_cast<std::uint8_t>(i * 37 + 251));
  }
  EXPECT_EQ(to_base64(as_bytes("foob")), "Zm9vYg==");  // RFC 4648 §10
}

TEST(Bytes, DecodersRefuseWhatIsNotCanonical) {
  for (std::string_view bad : {"Z", "Zm9vY===", "Zm 9", "Zh==", "Zm9vYh==", "Zm9=YQ=="}) {
    EXPECT_FALSE(from_base64(bad)) << bad;
  }
  EXPECT_FALSE(from_hex("0"));
  EXPECT_FALSE(from_hex("0g"));
}

TEST(Bytes, ConstantTimeComparisonCompares) {
  EXPECT_TRUE(equal_constant_time(as_bytes("abc"), as_bytes("abc")));
  EXPECT_FALSE(equal_constant_time(as_bytes("abc"), as_bytes("abd")));
  EXPECT_FALSE(equal_constant_time(as_bytes("abc"), as_bytes("ab")));
}

TEST(Clock, Rfc3339RoundTrips) {
  SystemTime time = from_unix_millis(1'774'343'700'123);
  EXPECT_EQ(to_rfc3339(time), "2026-03-24T09:15:00.123Z");
  EXPECT_EQ(parse_rfc3339("2026-03-24T09:15:00.123Z").value(), time);
  EXPECT_EQ(parse_rfc3339("2026-03-24T11:45:00.123+02:30").value(), time);
  for (std::string_view bad :
       {"", "2026-03-24", "2026-02-30T00:00:00Z", "2026-03-24T09:15:00", "2026-03-24T09:15:00.Z"}) {
    EXPECT_FALSE(parse_rfc3339(bad)) << bad;
  }
}

TEST(Clock, TimesThatSumsCanNotHoldAreRefused) {
  for (std::string_view bad : {"0000-01-01T00:00:00Z", "1700-01-01T00:00:00Z", "2240-01-01T00:00:00Z",
                               "2262-04-11T23:47:17Z", "9999-12-31T23:59:59Z"}) {
    EXPECT_FALSE(parse_rfc3339(bad)) << bad;
  }
  EXPECT_TRUE(parse_rfc3339("1701-01-01T00:00:00Z"));
  EXPECT_TRUE(parse_rfc3339("2238-12-31T23:59:59.999999999Z"));
}

// A token's "exp" of the year 9999, or a request's since_ms: a number of somebody else is no undefined behaviour.
TEST(Clock, NumbersOfOthersAreTimesThatCanBeReckonedWith) {
  constexpr auto kMost = std::numeric_limits<std::int64_t>::max(), kLeast = std::numeric_limits<std::int64_t>::min();
  for (const SystemTime late :
       {from_unix_seconds(253'402'300'799), from_unix_seconds(kMost), from_unix_millis(kMost)}) {
    EXPECT_GT(late, from_unix_seconds(8'400'000'000));
    EXPECT_GT(late + std::chrono::years(20), late);
    EXPECT_TRUE(to_rfc3339(late).starts_with("2239-"));
  }
  for (const SystemTime early : {from_unix_seconds(kLeast), from_unix_millis(kLeast)}) {
    EXPECT_LT(early - std::chrono::years(20), early);
    EXPECT_TRUE(to_rfc3339(early).starts_with("1700-"));
  }
}

TEST(Clock, DurationsParseAndFormat) {
  EXPECT_EQ(parse_duration("1h30m").value(), 90min);
  EXPECT_EQ(parse_duration("7d").value(), 168h);
  EXPECT_EQ(parse_duration("250ms").value(), 250ms);
  EXPECT_EQ(format_duration(90min), "1h30m");
  EXPECT_EQ(format_duration(0ms), "0s");
  for (std::string_view bad : {"", "5", "h", "-1s", "1x", "99999999999999999999s", "9999999999999d"}) {
    EXPECT_FALSE(parse_duration(bad)) << bad;
  }
}

TEST(Text, LowerChangesLettersOfAsciiOnly) {
  EXPECT_EQ(lower("AZaz@[`{09"), "azaz@[`{09");
  EXPECT_EQ(lower("\xc3\x84\xd0"), "\xc3\x84\xd0");
  EXPECT_EQ(lower(""), "");
}

TEST(Text, PrintableDisarmsTerminalEscapes) {
  EXPECT_EQ(printable("web\x1b[2J-01"), "web\\x1b[2J-01");
  EXPECT_EQ(printable("a\xff"), "a\\xff");
  EXPECT_EQ(printable("a\xe2\x80\xae"
                      "b"),
            "a\\u{202e}b");
  EXPECT_EQ(printable("grün"), "grün");
}

TEST(Text, JsonQuoteKeepsLinesWhole) {
  EXPECT_EQ(json_quote("a\n\"\\\x01\xff"), "\"a\\n\\\"\\\\\\u0001\xef\xbf\xbd\"");
}

TEST(Text, Utf8RefusesOverlongAndSurrogates) {
  EXPECT_TRUE(is_valid_utf8("grün €"));
  EXPECT_FALSE(is_valid_utf8("\xc0\xaf"));
  EXPECT_FALSE(is_valid_utf8("\xed\xa0\x80"));
  EXPECT_FALSE(is_valid_utf8("\xf5\x80\x80\x80"));
}

TEST(File, WriteReplacesWholeAndKeepsMode) {
  std::filesystem::path folder = std::filesystem::temp_directory_path() / new_uuid();
  ASSERT_TRUE(make_directories(folder / "deep"));
  std::filesystem::path path = folder / "deep" / "file";
  ASSERT_TRUE(write_file(path, as_bytes("one")));
  ASSERT_TRUE(write_file(path, as_bytes("two"), 0640));
  EXPECT_EQ(to_text(read_file(path).value()), "two");
  EXPECT_EQ(std::filesystem::status(path).permissions(), std::filesystem::perms(0640));
  EXPECT_FALSE(read_file(path, 2));
  EXPECT_EQ(read_file(folder / "none").error().code, ErrorCode::kNotFound);
  std::filesystem::remove_all(folder);
}

TEST(Id, UuidsAreVersionFourAndDiffer) {
  std::string a = new_uuid();
  EXPECT_EQ(a.size(), 36u);
  EXPECT_EQ(a[14], '4');
  EXPECT_NE(a, new_uuid());
}

TEST(Log, RefusesUnknownLevels) {
  EXPECT_TRUE(log::parse_level("debug"));
  EXPECT_FALSE(log::parse_level("trace"));
}

TEST(BackOff, DoublesUpToALimitAndIsSpread) {
  using std::chrono::milliseconds;
  Jitter random(1);
  for (std::int64_t failures = 1; failures < 70; ++failures) {
    const milliseconds most =
        std::min(milliseconds(100LL << std::min<std::int64_t>(failures - 1, 12)), milliseconds(60'000));
    const milliseconds wait = back_off(failures, milliseconds(100), milliseconds(60'000), random());
    EXPECT_GE(wait, most / 2);
    EXPECT_LE(wait, most);
  }
  EXPECT_LE(back_off(0, milliseconds(100), milliseconds(60'000), random()), milliseconds(100));
  EXPECT_NE(back_off(50, milliseconds(100), milliseconds(60'000), random()),
            back_off(50, milliseconds(100), milliseconds(60'000), random()));
}

}  // namespace
}  // namespace mezite
