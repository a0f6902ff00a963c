// How `sotto` writes durations, times, foreign text, JSON and tables.
#include <gtest/gtest.h>

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <limits>
#include <string>
#include <vector>

#include "cmd/sotto/api_client.h"
#include "cmd/sotto/output/json_text.h"
#include "cmd/sotto/output/table.h"
#include "cmd/sotto/output/text.h"

namespace sotto::cli {
namespace {

TEST(HumanDuration, ReadsAsPeopleSayIt) {
  const std::pair<double, const char*> rows[] = {
      {0, "0s"},         {0.0004, "0.4ms"}, {0.0011, "1.1ms"},
      {0.0231, "23ms"},  {0.412, "412ms"},  {0.9999, "1.0s"},
      {1.2, "1.2s"},     {9.94, "9.9s"},    {9.96, "10s"},
      {59, "59s"},       {59.7, "1m"},      {200, "3m 20s"},
      {660, "11m"},      {3599, "59m"},     {3600, "1h"},
      {15120, "4h 12m"}, {86400, "1d"},     {273600, "3d 4h"},
      {-5, "0s"},        {1e30, "ages"},    {std::numeric_limits<double>::quiet_NaN(), "-"},
  };
  for (const auto& [seconds, text] : rows) EXPECT_EQ(HumanDuration(seconds), text) << seconds;
}

TEST(ParseDuration, TakesUnitsAndPlainSeconds) {
  const std::pair<const char*, double> good[] = {{"5", 5},       {"500ms", 0.5}, {"5s", 5},
                                                 {"1.5m", 90},   {"2h", 7200},   {"3d", 259200},
                                                 {"1w", 604800}, {"0", 0}};
  for (const auto& [text, seconds] : good) {
    ASSERT_TRUE(ParseDuration(text).has_value()) << text;
    EXPECT_DOUBLE_EQ(*ParseDuration(text), seconds) << text;
  }
  for (const char* text :
       {"", "s", "-5s", "5 s", "5x", "1e3s", "inf", "nan", "5s5", "0x10", "+5"}) {
    EXPECT_FALSE(ParseDuration(text).has_value()) << text;
  }
}

TEST(Utc, GoesThereAndBack) {
  EXPECT_EQ(FormatUtc(1'795'269'731'120), "2026-11-21T14:02:11.120Z");
  EXPECT_EQ(ParseUtc("2026-11-21T14:02:11.120Z"), 1'795'269'731'120);
  EXPECT_EQ(ParseUtc("2026-11-21T14:02:11Z"), 1'795'269'731'000);
  EXPECT_EQ(FormatUtc(-1), "1969-12-31T23:59:59.999Z");
  for (const char* text : {"", "2026-11-21", "2026-11-21T14:02:11", "2026-11-21T14:02:11.Z",
                           "2026/11/21T14:02:11Z", "2026-11-21T14:02:11.12x4Z"}) {
    EXPECT_FALSE(ParseUtc(text).has_value()) << text;
  }
}

TEST(Escape, ShowsWhatATerminalWouldActOn) {
  EXPECT_EQ(Escape("plain \xc3\xa4 \xe2\x82\xac \xf0\x9f\x90\xa7"),
            "plain \xc3\xa4 \xe2\x82\xac \xf0\x9f\x90\xa7");
  EXPECT_EQ(Escape("\x1b[31m"), "\\x1b[31m");
  EXPECT_EQ(Escape("a\tb\nc\rd\x7f"), "a\\tb\\nc\\rd\\x7f");
  EXPECT_EQ(Escape(std::string("a\0b", 3)), "a\\x00b");
  EXPECT_EQ(Escape("\xc2\x9b"), "\\u009b");              // the 8-bit CSI
  EXPECT_EQ(Escape("\xe2\x80\xae"), "\\u202e");          // writes backwards
  EXPECT_EQ(Escape("\xff\xc3"), "\\xff\\xc3");           // not UTF-8
  EXPECT_EQ(Escape("\xc0\xaf"), "\\xc0\\xaf");           // overlong
  EXPECT_EQ(Escape("\xed\xa0\x80"), "\\xed\\xa0\\x80");  // a surrogate
  EXPECT_EQ(EscapeTsv("a\\b\tc"), "a\\\\b\\tc");
}

TEST(Nearest, FindsMisspeltWordsAndNoOthers) {
  const std::vector<std::string> words = {"status", "members", "events", "keys", "--output"};
  EXPECT_EQ(Nearest("mebmers", words), "members");
  EXPECT_EQ(Nearest("stat", words), "status");
  EXPECT_EQ(Nearest("--outptu", words), "--output");
  EXPECT_EQ(Nearest("zebra", words), "");
  EXPECT_EQ(Nearest("", words), "");
  EXPECT_EQ(Nearest(std::string(100'000, 'a'), words), "");
}

TEST(Words, JoinCountAndQuote) {
  EXPECT_EQ(JoinWords({"a", "b", "c"}), "a, b and c");
  EXPECT_EQ(JoinWords({"a"}), "a");
  EXPECT_EQ(Plural(1, "member"), "1 member");
  EXPECT_EQ(Plural(2, "member"), "2 members");
  EXPECT_EQ(HumanCount(91'223'117), "91 223 117");
  EXPECT_EQ(HumanCount(999), "999");
  EXPECT_EQ(ShellQuote("/a/b.c"), "/a/b.c");
  EXPECT_EQ(ShellQuote("a b'c"), "'a b'\\''c'");
  EXPECT_EQ(RepeatFlag("--skip", {"gw-1", "a b"}), " --skip gw-1 --skip 'a b'");
  EXPECT_EQ(RepeatFlag("--skip", {}), "");
}

TEST(JsonText, WritesNumbersPlainlyAndEscapesEverythingThatActs) {
  const boost::json::value value = boost::json::parse(
      R"({"s":3.8,"i":-5,"u":18446744073709551615,"n":null,"b":true,"a":[],"o":{},
          "t":"q\" \\ \u001b \u007f \u009b \u202e \u00e4"})");
  const std::string line = JsonLine(value);
  EXPECT_EQ(
      line,
      "{\"s\":3.8,\"i\":-5,\"u\":18446744073709551615,\"n\":null,\"b\":true,\"a\":[],\"o\":{},"
      "\"t\":\"q\\\" \\\\ \\u001b \\u007f \\u009b \\u202e \xc3\xa4\"}");
  EXPECT_EQ(boost::json::parse(line), value);
  EXPECT_EQ(boost::json::parse(JsonPretty(value)), value);
}

TEST(JsonText, TurnsStrayBytesIntoValidJson) {
  const boost::json::value value = boost::json::string("a\xff\xc3\xa4\x80z");
  EXPECT_NO_THROW(boost::json::parse(JsonLine(value))) << JsonLine(value);
}

TEST(Table, AlignsAndCutsOnlyWhatMayBeCut) {
  Table table({{"NODE"}, {"N", true}, {"TAGS", false, true}});
  table.Add({{"gw-1", ""}, {"7", ""}, {std::string(60, 'x'), ""}});
  table.Add({{"gateway-2", ""}, {"123", ""}, {"", ""}});
  const std::vector<std::string> wide = table.Lines(true, 0, false);
  ASSERT_EQ(wide.size(), 3u);
  EXPECT_EQ(wide[0], "NODE         N  TAGS");
  EXPECT_EQ(wide[1], "gw-1         7  " + std::string(60, 'x'));
  EXPECT_EQ(wide[2], "gateway-2  123  -");
  for (const std::string& line : table.Lines(true, 30, false)) EXPECT_LE(line.size(), 30u) << line;
  EXPECT_EQ(table.Lines(false, 30, false)[1].substr(0, 9), "gateway-2");
}

TEST(EventStreamParser, TakesEventsHoweverTheyAreCut) {
  const std::string stream =
      ": hello\n\nevent: snapshot\ndata: {\ndata: }\n\nid: 7\r\nevent: event\r\ndata:x\r\n\r\n"
      "data\n\nevent: none\n\n";
  for (size_t size = 1; size <= stream.size(); ++size) {
    EventStreamParser parser;
    std::vector<StreamEvent> events;
    for (size_t at = 0; at < stream.size(); at += size) {
      ASSERT_TRUE(parser.Feed(stream.substr(at, size), [&](const StreamEvent& event) {
        events.push_back(event);
        return true;
      }));
    }
    ASSERT_EQ(events.size(), 3u) << size;
    EXPECT_EQ(events[0].event, "snapshot");
    EXPECT_EQ(events[0].data, "{\n}");
    EXPECT_EQ(events[1].event, "event");
    EXPECT_EQ(events[1].id, "7");
    EXPECT_EQ(events[1].data, "x");
    EXPECT_EQ(events[2].event, "message");
    EXPECT_EQ(events[2].data, "");
  }
}

TEST(PathSegment, LeavesNothingThatEndsASegment) {
  EXPECT_EQ(PathSegment("gw-1.a_b~"), "gw-1.a_b~");
  EXPECT_EQ(PathSegment("../x?y#z %\n"), "..%2Fx%3Fy%23z%20%25%0A");
}

}  // namespace
}  // namespace sotto::cli
